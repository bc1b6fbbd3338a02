package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// maxSteps bounds the tasks, iterations and attempts of one run: a document that
// jumps backward or loops may not go on for ever. Invariant 9.
const maxSteps = 10_000

// run is one run being walked.
type run struct {
	carrier  *carrier
	document *flow.Document
	owner    task.Owner
	recall   bool
	// first is what the first step came to, when it was asked for before the walk.
	first *task.StepResult
	// recalled holds results not yet walked over, by key: those of the journal, and
	// those that were answered together with the step before them.
	recalled map[string]task.StepResult
	// deadlines are those in force, the outermost first.
	deadlines []*deadline
	taken     int
	// finished: the last step ended the run in the database, too.
	finished bool
	// mentions remembers which loops need their items bound.
	mentions map[*flow.For]bool
}

func newRun(c *carrier, carrierID string, ref task.RunRef) *run {
	return &run{
		carrier: c,
		recall:  ref.Recall,
		owner:   task.Owner{Carrier: carrierID, Run: ref.Run, Epoch: ref.Epoch, Digest: ref.Digest},
	}
}

// walk takes the run to its end. It reports whether the run was parked instead,
// to go on in the carrier's next execution.
func (r *run) walk(ctx workflow.Context) (open bool) {
	r.document = r.load()
	o := r.remember(ctx)
	if o.ending == proceed {
		o = r.body(ctx)
	}
	switch o.ending {
	case parked:
		return true
	case stopped, expired:
		return false
	case proceed, exited, ended:
		return r.finish(ctx, task.FinishRequest{Output: o.data, Context: o.context})
	case faulted, broken:
		return r.finish(ctx, task.FinishRequest{Context: o.context, Fault: o.fault})
	}
	return false
}

// load gives the document that the run is pinned to.
func (r *run) load() *flow.Document {
	document, err := r.carrier.library.Document(r.owner.Digest)
	if err != nil {
		// A failed workflow task is repeated by the engine. Any decision taken here
		// instead would differ on replay once the document can be read again.
		panic(fmt.Errorf("load the flow document of a run: %w", err))
	}
	return document
}

// body walks the document within its timeout.
func (r *run) body(ctx workflow.Context) outcome {
	root := scope{}
	enter := func(ctx workflow.Context) outcome {
		data := task.RunInput
		if r.document.Input != nil {
			res, o := r.step(ctx, root, task.StepRequest{Phase: task.PhaseEnter, Key: ":enter", Input: data})
			if o.ending != proceed {
				return o
			}
			data = res.Output
		}
		return r.list(ctx, root, r.document.Do, data, task.NoContext, true)
	}
	if r.document.Timeout == nil {
		return enter(ctx)
	}
	return r.within(ctx, root, limit{key: ":timeout", expiry: ":expire", input: task.RunInput}, enter)
}

// finish ends the run in the database.
func (r *run) finish(ctx workflow.Context, req task.FinishRequest) (open bool) {
	if r.finished {
		return false
	}
	req.Owner, req.Key = r.owner, task.FinishKey
	if r.carrier.handingOver(ctx) {
		return true
	}
	if o := r.call(ctx, task.Finish, req, nil); o.ending != proceed && o.ending != stopped {
		// The run stays open in the database, where the relay finds it.
		workflow.GetLogger(ctx).Error("a run could not be finished", "run", r.owner.Run)
	}
	return false
}

// tick counts one task, iteration or attempt.
func (r *run) tick(pointer string) outcome {
	r.taken++
	if r.taken > r.carrier.bound {
		return breach(flow.TypeRuntime, 500, pointer, "the run took more steps than a run may take")
	}
	return outcome{}
}
