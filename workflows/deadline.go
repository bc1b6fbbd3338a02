package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// deadline is a timeout in force. Its timer is nil when it has passed already,
// which happens only to a run that is walked again: what its journal holds was
// done in time, and the first step that it does not hold comes too late.
type deadline struct {
	timer workflow.Future
}

// limit says which timeout to set: the keys of its two steps, what its
// duration is evaluated on, and the duration itself when it bounds an attempt.
type limit struct {
	key, expiry    string
	input, context task.Ref
	attempt        time.Duration
}

// passed returns the outermost deadline that has passed.
func (r *run) passed() *deadline {
	for _, d := range r.deadlines {
		if d.timer == nil || d.timer.IsReady() {
			return d
		}
	}
	return nil
}

// watch makes a selector end when a deadline passes, the outermost first.
func (r *run) watch(selector workflow.Selector, o *outcome) {
	for _, d := range r.deadlines {
		if d.timer == nil {
			continue // it had passed before: step and sleep ask for it
		}
		selector.AddFuture(d.timer, func(workflow.Future) {
			o.ending, o.deadline = expired, d
		})
	}
}

// within does body under a deadline. Both its start and its passing are steps:
// a run that is walked again must time out where it did before, and nowhere
// else. What was done inside counts for nothing then: data and context are the
// ones that entered, so that they are the same whatever was under way.
func (r *run) within(ctx workflow.Context, s scope, l limit, body func(workflow.Context) outcome) outcome {
	if expiry, ok := r.recalled[l.expiry]; ok {
		delete(r.recalled, l.expiry)
		return settle(expiry, l.context)
	}
	res, o := r.step(ctx, s, task.StepRequest{
		Phase: task.PhaseTimeout, Key: l.key, Expiry: l.expiry,
		Input: l.input, Context: l.context, Limit: l.attempt,
	})
	if o.ending != proceed {
		return o
	}
	d := &deadline{}
	timerCtx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	if res.Wait > 0 {
		d.timer = workflow.NewTimer(timerCtx, res.Wait)
	}
	r.deadlines = append(r.deadlines, d)
	o = body(ctx)
	r.deadlines = r.deadlines[:len(r.deadlines)-1]
	if o.ending != expired || o.deadline != d {
		return o
	}
	if ctx.Err() != nil {
		return outcome{ending: stopped} // the timer ended because all was canceled
	}
	if _, o = r.step(ctx, s, task.StepRequest{
		Phase: task.PhaseExpire, Key: l.expiry, Input: l.input, Context: l.context,
	}); o.ending != proceed {
		return o
	}
	return breach(flow.TypeRuntime, 500, s.pointer, "a passed deadline was not recorded as a fault")
}
