package activities

import (
	"context"
	"time"

	"github.com/tenonhq/tenon/schema/crash"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// stretch performs a step and those that follow it, as long as each proceeds and
// there is time, and answers them together. What they owe to the disk is written
// before they are told, with the end of the run when that comes next; the outcome
// of an effect does not wait for another call.
func (e *Executor) stretch(ctx context.Context, req task.StepRequest) (task.StepResult, error) {
	if e.asking(req.Owner) {
		return task.StepResult{Stopped: true}, nil
	}
	alone := len(req.Following) == 0 && !req.Finishes
	first, last, err := e.row(ctx, req, alone, func() bool { return true })
	if err != nil || alone || first.Stopped || first.Slow || last.Stopped {
		return first, err
	}
	if first.Finished, err = e.conclude(ctx, req, len(first.Following), last); err != nil {
		return e.stopped(req.Owner.Run, err)
	}
	return first, nil
}

// conclude ends the run when that is what comes after the last of the steps that were
// asked for, of which so many followed the first; otherwise it writes what they owe.
func (e *Executor) conclude(ctx context.Context, req task.StepRequest, followed int, last task.StepResult) (finished bool, err error) {
	if req.Finishes && last.Proceeds() && followed == len(req.Following) {
		err := e.Finish(ctx, task.FinishRequest{Owner: req.Owner, Key: task.FinishKey, Output: last.Output, Context: last.Context})
		if err == nil {
			return true, nil
		}
	}
	return false, e.bring(ctx, req.Owner, (*runState).mustWrite, crash.StretchKept)
}

// row performs a step and those that follow it, as long as each proceeds, there is
// time and goes says so. The first answer has the following ones; last is the last
// of them. alone says that the first is told next.
func (e *Executor) row(ctx context.Context, req task.StepRequest, alone bool, goes func() bool) (first, last task.StepResult, err error) {
	end := time.Now().Add(task.LocalPatience)
	first, ok, err := e.perform(ctx, req, task.LocalPatience, alone)
	if err != nil {
		return task.StepResult{}, task.StepResult{}, err
	}
	if !ok {
		first = task.StepResult{Slow: true}
	}
	last = first
	for last.Proceeds() && len(first.Following) < len(req.Following) && goes() {
		left := time.Until(end)
		if left < task.LocalPatience/2 {
			break
		}
		next := req.Next(len(first.Following), last)
		if next.Effect != "" {
			if err := e.bring(ctx, req.Owner, (*runState).settles, crash.EffectKept); err != nil {
				first, err = e.stopped(req.Owner.Run, err)
				return first, first, err
			}
		}
		r, ok, err := e.perform(ctx, next, left, false)
		if err != nil || !ok || r.Slow {
			break // It is asked for again, by itself.
		}
		last = r
		first.Following = append(first.Following, r)
	}
	return first, last, nil
}

// bring commits what the run's steps owe to the disk, if it owes what is asked for.
func (e *Executor) bring(ctx context.Context, o task.Owner, owes func(*runState) bool, kept crash.Point) error {
	st, err := e.state(ctx, o, false)
	if err != nil || !owes(st) {
		return err
	}
	if err := e.commit(ctx, st, store.RunCommit{}); err != nil {
		return err
	}
	crash.At(kept)
	return nil
}

// settles tells whether only this process knows the outcome of an effect.
func (st *runState) settles() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return len(st.settled) > 0
}
