package worker

import (
	"context"
	"slices"

	"github.com/tenonhq/tenon/schema/store"
)

// held tells which of the runs that were just committed have to wait for an
// earlier one of their key: that one has not ended, or is uncertain. They have a
// row, and no carrier is started for them until it is their turn.
func (r *relay) held(ctx context.Context, runs []store.Run) (map[string]bool, error) {
	if !slices.ContainsFunc(runs, func(run store.Run) bool { return run.OrderKey != "" }) {
		return nil, nil
	}
	first, err := r.firstOfKeys(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]bool)
	for _, run := range runs {
		if run.OrderKey != "" && !first[run.ID] {
			r.ordered.Store(true)
			out[run.ID] = true
		}
	}
	return out, nil
}

func (r *relay) firstOfKeys(ctx context.Context) (map[string]bool, error) {
	runs, err := r.cell.Work().FirstOfKeys(ctx)
	first := make(map[string]bool, len(runs))
	for _, run := range runs {
		first[run.ID] = true
	}
	return first, err
}

// startTurns starts the runs whose turn has come. What is missed here, because a
// process ended in between, is found as an open run without a carrier.
func (r *relay) startTurns(ctx context.Context) error {
	if r.down.Load() || r.openCount() >= r.capacity || !r.turns.Swap(false) {
		return nil
	}
	runs, err := r.cell.Work().FirstOfKeys(ctx)
	if err != nil {
		r.turns.Store(true)
		return err
	}
	r.mu.Lock()
	runs = slices.DeleteFunc(runs, func(run store.Run) bool {
		_, open := r.open[run.ID]
		_, lost := r.lost[run.ID]
		_, unstarted := r.unstarted[run.Carrier]
		return open || lost || unstarted
	})
	room := r.capacity - len(r.open)
	r.mu.Unlock()
	if len(runs) > room {
		runs = runs[:max(room, 0)]
		r.turns.Store(true)
	}
	r.takeOver(ctx, runs)
	return nil
}
