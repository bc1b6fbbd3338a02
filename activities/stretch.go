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
	end := time.Now().Add(task.LocalPatience)
	alone := len(req.Following) == 0 && !req.Finishes
	first, ok, err := e.perform(ctx, req, task.LocalPatience, alone)
	switch {
	case err != nil:
		return task.StepResult{}, err
	case !ok:
		return task.StepResult{Slow: true}, nil
	case alone || first.Stopped || first.Slow:
		return first, nil
	}
	last, reached := first, 0
	for last.Proceeds() && reached < len(req.Following) {
		left := time.Until(end)
		if left < task.LocalPatience/2 {
			break
		}
		next := req.Next(reached, last)
		if next.Effect != "" {
			if err := e.record(ctx, req.Owner); err != nil {
				return e.stopped(req.Owner.Run, err)
			}
		}
		r, ok, err := e.perform(ctx, next, left, false)
		if err != nil || !ok || r.Slow {
			break // It is asked for again, by itself.
		}
		last, reached = r, reached+1
		first.Following = append(first.Following, r)
	}
	if last.Stopped {
		return first, nil
	}
	if req.Finishes && last.Proceeds() && reached == len(req.Following) {
		err := e.Finish(ctx, task.FinishRequest{Owner: req.Owner, Key: task.FinishKey, Output: last.Output, Context: last.Context})
		if first.Finished = err == nil; first.Finished {
			return first, nil
		}
	}
	if st, err := e.state(ctx, req.Owner, false); err != nil {
		return e.stopped(req.Owner.Run, err)
	} else if st.mustWrite() {
		if err := e.commit(ctx, st, store.RunCommit{}); err != nil {
			return e.stopped(req.Owner.Run, err)
		}
		crash.At(crash.StretchKept)
	}
	return first, nil
}

// record writes the outcomes of effects that only this process knows.
func (e *Executor) record(ctx context.Context, o task.Owner) error {
	st, err := e.state(ctx, o, false)
	if err != nil {
		return err
	}
	st.mu.Lock()
	known := len(st.settled) > 0
	st.mu.Unlock()
	if !known {
		return nil
	}
	if err := e.commit(ctx, st, store.RunCommit{}); err != nil {
		return err
	}
	crash.At(crash.EffectKept)
	return nil
}
