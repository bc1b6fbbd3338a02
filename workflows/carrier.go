package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// Library gives the documents that runs are pinned to.
//
// Document is called from workflow code: it must answer the same for a digest
// at all times, from memory or by reading through, and must be safe for
// concurrent use. An error fails the workflow task, which the engine repeats
// until it succeeds; whoever starts a carrier therefore loads its runs' documents
// first, and does not start one for a run whose document cannot be had.
type Library interface {
	Document(digest string) (*flow.Document, error)
}

// Register makes the workflow task.Carrier known to a worker.
func Register(r worker.WorkflowRegistry, lib Library) {
	w := &interpreter{library: lib, bound: maxSteps, handover: handoverAfter}
	r.RegisterWorkflowWithOptions(w.carry, workflow.RegisterOptions{Name: task.Carrier})
}

type interpreter struct {
	library Library
	// bound and handover are maxSteps and handoverAfter, except in tests.
	bound, handover int
}

// handoverAfter is how many steps a carrier asks for at least before it hands
// its runs over to a new execution: without it a carrier whose recalled
// journals alone fill a history would hand over for ever.
const handoverAfter = 1000

// carrier is the state that the coroutines of one execution share. The SDK runs
// one coroutine at a time, so nothing here needs a lock.
type carrier struct {
	*interpreter
	// version is the one that the carrier was started with: 2 asks for stretches, 3
	// for those of several runs together.
	version int
	asked   int
	// handing is ready once the history is so long that the open runs must go
	// on in a new execution; runs that wait for a timer stop waiting then.
	handing workflow.Future
	hand    workflow.Settable
}

// carry is the workflow task.Carrier. A run that fails, stops or is uncertain
// never fails it; it ends when every run has ended, or with the cancellation.
func (w *interpreter) carry(ctx workflow.Context, in task.CarrierInput) error {
	if in.Interpreter < 1 || in.Interpreter > task.InterpreterVersion {
		return temporal.NewNonRetryableApplicationError(
			"this worker does not have the interpreter version that the carrier was started with",
			"interpreter_version", nil, in.Interpreter, task.InterpreterVersion)
	}
	ctx = withOptions(ctx)
	c := &carrier{interpreter: w, version: in.Interpreter}
	c.handing, c.hand = workflow.NewFuture(ctx)

	parked := make([]bool, len(in.Runs))
	group := workflow.NewWaitGroup(ctx)
	walk := func(i int, first *task.StepResult) {
		r := newRun(c, in.Carrier, in.Runs[i])
		r.first = first
		group.Add(1)
		workflow.GoNamed(ctx, r.owner.Run, func(ctx workflow.Context) {
			defer group.Done()
			parked[i] = r.walk(ctx)
		})
	}
	answers, ok := c.together(ctx, in)
	for i := range in.Runs {
		switch {
		case !ok:
			walk(i, nil)
		case answers[i] == nil || !answers[i].Over():
			walk(i, answers[i])
		}
	}
	group.Wait(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}

	open := make([]task.RunRef, 0, len(in.Runs))
	for i, ref := range in.Runs {
		if parked[i] {
			ref.Recall = true
			open = append(open, ref)
		}
	}
	if len(open) == 0 {
		return nil
	}
	in.Runs, in.Interpreter = open, task.InterpreterVersion
	return workflow.NewContinueAsNewError(ctx, task.Carrier, in)
}

// handingOver reports, at a point where a run may be parked, whether it must be.
func (c *carrier) handingOver(ctx workflow.Context) bool {
	if c.handing.IsReady() {
		return true
	}
	if c.asked < c.handover || !workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
		return false
	}
	c.hand.Set(nil, nil)
	return true
}
