package activities

import (
	"context"

	"github.com/tenonhq/tenon/schema/task"
	"github.com/tenonhq/tenon/workflows"
)

// Ahead begins the first step of a run, and those that follow it, before its
// carrier asks for them, where the document alone decides on them. The run's row
// must be committed and the run primed: what is done here is done by the run's
// owner, and the carrier's own request joins it or finds it in the journal. It
// answers nothing; what failed is asked for again.
func (e *Executor) Ahead(ctx context.Context, carrier string, ref task.RunRef) {
	_, err := shield(func() (task.StepResult, error) {
		p, err := e.plan(ref.Digest) //nolint:contextcheck // It is in memory.
		if err != nil {
			return task.StepResult{}, err
		}
		req, ok := workflows.Opening(p.doc, carrier, ref)
		if !ok {
			return task.StepResult{}, nil
		}
		return e.stretch(ctx, req)
	})
	if err != nil {
		e.cfg.Logger.DebugContext(ctx, "a step ahead of its carrier did not succeed; the carrier asks for it", "run", ref.Run, "error", err)
	}
}
