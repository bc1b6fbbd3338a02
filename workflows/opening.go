package workflows

import (
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// Opening is the first request of a run that nobody has worked on yet, word for
// word, where the document alone decides on it: its first task is one step, and
// nothing comes before that. It lets a step begin while the engine is still being
// told of the run's carrier; the carrier's own request then joins it.
func Opening(document *flow.Document, carrierID string, ref task.RunRef) (req task.StepRequest, ok bool) {
	if document.Input != nil || document.Timeout != nil || len(document.Do) == 0 || !straight(&document.Do[0]) {
		return task.StepRequest{}, false
	}
	c := &carrier{interpreter: &interpreter{bound: maxSteps}, version: task.InterpreterVersion}
	r := newRun(c, carrierID, ref)
	first := &document.Do[0]
	r.tick(first.Pointer)
	s := scope{}.visit(first, 1)
	next := stretch{rest: document.Do[1:], closes: true}
	return r.addressed(s, r.whole(s, first, task.RunInput, task.NoContext, next)), true
}
