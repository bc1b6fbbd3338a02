package worker

import (
	"context"

	"github.com/tenonhq/tenon/schema/task"
)

// aheadBelow is how many runs may be open for one to begin ahead of its carrier:
// it makes a single run faster, and costs a busy cell a little.
const aheadBelow = 4

// ahead begins the first steps of a carrier's only run while the engine is being
// told of it: a start there waits for a disk, and so does what the run does before
// its first effect. Nothing depends on it. The run's row names its owner and is
// committed, so that its effects are as good as any (invariant 7), and if this
// process dies, its successor takes the run up like any other.
func (r *relay) ahead(ctx context.Context, c carrier, in task.CarrierInput) {
	if len(c.members) != 1 || c.recall || r.openCount() > aheadBelow {
		return
	}
	r.begun.Go(func() { r.executor.Ahead(context.WithoutCancel(ctx), c.id, in.Runs[0]) })
}
