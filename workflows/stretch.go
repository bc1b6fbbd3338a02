package workflows

import (
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// stretch is what may be asked for together with a task: the rest of its list.
// A switch between the workflow and an activity costs more than most steps do,
// so that tasks in a row are asked for at once; what was answered is walked over
// as if it had been asked for alone.
type stretch struct {
	list   scope
	rest   []flow.Task
	closes bool
}

// straight tells whether a task is one step after which the next in the list
// follows, unless it fails.
func straight(t *flow.Task) bool {
	return (t.Kind == flow.KindSet || t.Kind == flow.KindCall) && t.Timeout == nil &&
		(t.Then == "" || t.Then == flow.ThenContinue)
}

// following gives the tasks to ask for with the one before them. Under a deadline
// there are none: what is done when it passes would not be known.
func (r *run) following(next stretch) (steps []task.Following, finishes bool) {
	if r.carrier.version < 2 || len(r.deadlines) > 0 {
		return nil, false
	}
	for i := range next.rest {
		t := &next.rest[i]
		if !straight(t) || i == task.MaxFollowing || r.taken+i >= r.carrier.bound {
			return steps, false
		}
		s := next.list.visit(t, 1)
		f := task.Following{Key: s.path, Pointer: s.pointer}
		if t.Kind == flow.KindCall {
			f.Effect = s.effect
		}
		steps = append(steps, f)
	}
	return steps, next.closes
}

// take keeps the answers that came with a step's until the walk gets to them.
func (r *run) take(req task.StepRequest, res *task.StepResult) {
	for i, answer := range res.Following {
		if r.recalled == nil {
			r.recalled = make(map[string]task.StepResult)
		}
		r.recalled[req.Following[i].Key] = answer
	}
	r.finished = r.finished || res.Finished
}
