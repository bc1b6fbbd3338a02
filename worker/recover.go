package worker

import (
	"context"
	"errors"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

// live are the states of a run that a carrier works on.
var live = []string{store.RunPending, store.RunRunning, store.RunWaiting}

// recover takes up what the cell's former process left. It is dead: the host
// starts a cell only once the process before it was reaped. So runs that were
// under way get a new carrier at once, instead of waiting for the engine to
// notice; the former carriers are fenced by the epoch. Runs that wait stay with
// their carriers when the engine still has them.
func (r *relay) recover(ctx context.Context) error {
	open, err := r.cell.Work().OpenRuns(ctx)
	if err != nil {
		return err
	}
	var take []string
	for _, run := range open {
		if run.State == store.RunWaiting {
			gone, err := r.gone(ctx, run.Carrier)
			if err != nil {
				return err
			}
			if !gone {
				r.follow([]string{run.ID})
				continue
			}
		}
		take = append(take, run.ID)
	}
	if len(take) > 0 {
		r.logger.InfoContext(ctx, "taking over the runs of the process before", "runs", len(take))
	}
	return r.takeOver(ctx, take)
}

// reconcile takes up the open runs whose carrier has ended without them, such
// as one that was terminated from outside or lost with the engine's store.
func (r *relay) reconcile(ctx context.Context) error {
	open, err := r.cell.Work().OpenRuns(ctx)
	if err != nil {
		return err
	}
	known := make(map[string]bool)
	var take []string
	for _, run := range open {
		gone, ok := known[run.Carrier]
		if !ok {
			if gone, err = r.gone(ctx, run.Carrier); err != nil {
				return err
			}
			known[run.Carrier] = gone
		}
		if gone {
			take = append(take, run.ID)
		}
	}
	return r.takeOver(ctx, take)
}

// gone tells whether the engine has no running workflow for the carrier.
func (r *relay) gone(ctx context.Context, carrier string) (bool, error) {
	d, err := r.engine.DescribeWorkflowExecution(ctx, carrier, "")
	var missing *serviceerror.NotFound
	switch {
	case errors.As(err, &missing):
		return true, nil
	case err != nil:
		return false, schema.Errorf(schema.CodeUnavailable, "the engine does not tell about a carrier: %w", err)
	}
	return d.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}

// takeOver gives each run a new carrier of its own and a higher epoch, which
// fences the old one, and starts it. What was done is taken from the journal.
func (r *relay) takeOver(ctx context.Context, ids []string) error {
	var carriers [][]store.Run
	for _, id := range ids {
		r.executor.Forget(id)
		runs, err := r.cell.Work().TakeRuns(ctx, schema.NewID(schema.PrefixCarrier), []string{id}, live)
		if err != nil {
			return err
		}
		if len(runs) > 0 {
			carriers = append(carriers, runs)
		}
	}
	r.startAll(ctx, carriers)
	return nil
}
