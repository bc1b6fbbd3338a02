package worker

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	// removeEvery is how often an awake cell looks for removed events.
	removeEvery = time.Minute
	// removeAtOnce bounds the removed events that are read at a time.
	removeAtOnce = 100
)

// removeRuns removes the runs of events that the API has removed, at the start
// and every minute, until the context ends: beside the relay, a few rows at a time.
func (r *relay) removeRuns(ctx context.Context) {
	look := time.NewTicker(removeEvery)
	defer look.Stop()
	for {
		for {
			begun := time.Now()
			more, err := r.removeSome(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				r.logger.WarnContext(ctx, "runs past their retention could not be removed; it is tried again", "error", err)
			}
			if err != nil || !more {
				break
			}
			// The runs that are under way write in between.
			rest := time.NewTimer(max(time.Since(begun), time.Millisecond))
			select {
			case <-ctx.Done():
			case <-rest.C:
			}
			rest.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// removeSome removes what goes into one transaction, of one namespace, and tells
// whether there is more.
func (r *relay) removeSome(ctx context.Context) (more bool, err error) {
	events, err := r.removed(ctx, removeAtOnce)
	if err != nil || len(events) == 0 {
		return false, err
	}
	namespace := events[0].Namespace
	for i, e := range events {
		if e.Namespace != namespace {
			events = events[:i]
			break
		}
	}
	_, kept, err := r.cell.Work().RemoveRuns(ctx, events, func(runs int) store.AuditDraft {
		return r.removal(namespace, runs)
	})
	for _, run := range kept {
		// The API is not to be believed in this: see [store.Final].
		r.logger.ErrorContext(ctx, "the event of a run was removed that has not ended; the run is kept", "run", run)
	}
	return err == nil, err
}

// removed lists events whose runs are to be removed.
func (r *relay) removed(ctx context.Context, max int) ([]store.RemovedEvent, error) {
	cursor, err := r.cell.Work().Cursor(ctx, store.CursorRemovals)
	if err != nil {
		return nil, err
	}
	return r.cell.Door().Removals(ctx, cursor, max)
}

// removal is the audit entry of one transaction (invariant 8).
func (r *relay) removal(namespace string, runs int) store.AuditDraft {
	d := store.AuditDraft{Actor: "system", Action: "runs.remove", Target: namespace, Namespace: namespace}
	// A number always encodes.
	if plain, err := json.Marshal(map[string]int{"runs": runs}); err == nil {
		d.DetailSealed = r.data.Seal(place.Audit(r.organization, store.ChainWork), plain)
	}
	return d
}
