package activities

import (
	"context"

	"github.com/tenonhq/tenon/schema/task"
)

// Ahead begins the first step of a run, and those that follow it, before its
// carrier asks for them. The run's row must be committed and the run primed: what
// is done here is done by the run's owner, and the carrier's own request joins it
// or finds it in the journal. It answers nothing; what failed is asked for again.
func (e *Executor) Ahead(ctx context.Context, req task.StepRequest) {
	if _, err := e.stretch(ctx, req); err != nil {
		e.cfg.Logger.DebugContext(ctx, "a step ahead of its carrier did not succeed; the carrier asks for it", "run", req.Owner.Run, "error", err)
	}
}
