package activities

import (
	"context"
	"errors"

	"github.com/tenonhq/tenon/schema/task"
)

// maxOver bounds the runs that are known to have ended before their carriers asked.
const maxOver = 4096

// Ahead performs what the carrier of a run that is held will ask for first, until it
// asks, and ends the run when that comes next: the answers are then there, or it joins what
// is being performed. The run's row has the carrier as its owner, once it is committed (see
// [Executor.Prime]), so that all is done in that one's name, and what becomes of it when either
// dies is no other than of its steps. over: the run needs no carrier any more.
func (e *Executor) Ahead(ctx context.Context, req task.StepRequest) (over bool, err error) {
	run := req.Owner.Run
	_, err = shield(func() (task.StepResult, error) {
		first, last, err := e.row(ctx, req, false, func() bool { return !e.asked(run) })
		if over = first.Stopped || last.Stopped; err != nil || over || first.Slow || e.asked(run) {
			return first, err
		}
		if over, err = e.conclude(ctx, req, len(first.Following), last); over {
			e.ended(req.Owner)
		}
		return first, err
	})
	if errors.Is(err, errStopped) {
		return true, nil
	}
	return over, err
}

// asked tells whether the carrier of a run has asked for a step.
func (e *Executor) asked(run string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	st, ok := e.runs[run]
	return ok && st.asked
}

// asking notes that the carrier of a run asks, and tells whether that is over for it.
func (e *Executor) asking(o task.Owner) (over bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if st, ok := e.runs[o.Run]; ok {
		st.asked = true
	}
	_, over = e.over[o]
	delete(e.over, o)
	return over
}

// ended notes that a run was over for its carrier before that asked, which then needs not
// be looked up. Carriers that are lost never ask.
func (e *Executor) ended(o task.Owner) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.over) == maxOver {
		clear(e.over)
	}
	e.over[o] = struct{}{}
}
