package workflows

import (
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// First gives the request that the carrier of a new run of the document asks
// first, so that it can be worked on while the engine is still being told of the
// carrier. ok is false when the document does not begin with a task that is one
// step, or has a timeout or an input of its own.
func First(document *flow.Document, owner task.Owner) (req task.StepRequest, ok bool) {
	if document.Timeout != nil || document.Input != nil || len(document.Do) == 0 || !straight(&document.Do[0]) {
		return task.StepRequest{}, false
	}
	c := &carrier{interpreter: &interpreter{bound: maxSteps}, version: task.InterpreterVersion}
	r := &run{carrier: c, document: document, owner: owner, taken: 1}
	t := &document.Do[0]
	s := scope{}.visit(t, 1)
	return r.placed(s, r.whole(s, t, task.RunInput, task.NoContext, stretch{rest: document.Do[1:], closes: true})), true
}
