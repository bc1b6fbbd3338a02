package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// First gives the request that the carrier of a new run of the document asks
// first, so that it can be worked on while the engine is still being told of the
// carrier. ok is false when the document does not begin with a task that is one
// step, or has a timeout or an input of its own.
func First(document *flow.Document, owner task.Owner) (req task.StepRequest, ok bool) {
	c := &carrier{interpreter: &interpreter{bound: maxSteps}, version: task.InterpreterVersion}
	return c.first(document, owner)
}

func (c *carrier) first(document *flow.Document, owner task.Owner) (req task.StepRequest, ok bool) {
	if document.Timeout != nil || document.Input != nil || len(document.Do) == 0 || !straight(&document.Do[0]) {
		return task.StepRequest{}, false
	}
	r := &run{carrier: c, document: document, owner: owner, taken: 1}
	t := &document.Do[0]
	s := scope{}.visit(t, 1)
	return r.placed(s, r.whole(s, t, task.RunInput, task.NoContext, stretch{rest: document.Do[1:], closes: true})), true
}

// together asks for the first stretches of all runs at once, when they are new and one
// stretch takes each to its end, unless it fails. What an answer costs the engine and
// its client is much more than what it says, and the client resumes every coroutine
// that waits with each: of these runs, only those that go on need one. ok is false
// when they have to be asked for one by one.
func (c *carrier) together(ctx workflow.Context, in task.CarrierInput) (answers []*task.StepResult, ok bool) {
	if c.version < 3 || len(in.Runs) < 2 {
		return nil, false
	}
	req := task.StretchesRequest{Steps: make([]task.StepRequest, len(in.Runs))}
	steps := 0
	for i, ref := range in.Runs {
		if ref.Recall {
			return nil, false
		}
		r := newRun(c, in.Carrier, ref)
		first, ok := c.first(r.load(), r.owner)
		if !ok || !first.Finishes {
			return nil, false
		}
		req.Steps[i] = first
		steps += 1 + len(first.Following)
	}
	c.asked += steps
	var res task.StretchesResult
	if err := workflow.ExecuteLocalActivity(ctx, task.Stretches, req).Get(ctx, &res); err != nil || len(res.Answers) != len(in.Runs) {
		return nil, false
	}
	return res.Answers, true
}
