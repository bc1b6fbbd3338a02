package api

import (
	"context"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	// sweepEvery is the pause between two sweeps of one organization: retention is
	// counted in days, and each sweep may wake the cell once.
	sweepEvery = 24 * time.Hour
	// sweepAgain is the pause after one that failed.
	sweepAgain = time.Hour
	// sweepLease is how long a sweep is its process's, unless it says that it
	// goes on.
	sweepLease = 10 * time.Minute
	// sweepsAtOnce bounds the organizations that one look claims; they are swept
	// one after the other.
	sweepsAtOnce = 16
	// settleBatch bounds the removed events that one transaction forgets.
	settleBatch = 500
)

// sweeper removes what is past its retention from the doors of all cells: each
// organization's once a day, by one of the processes that look.
func (s *Server) sweeper() {
	every := time.NewTicker(s.config.Limits.Sweep)
	defer every.Stop()
	for {
		if err := s.sweepDue(s.ctx); err != nil && s.ctx.Err() == nil {
			s.log.WarnContext(s.ctx, "what is past its retention could not be looked for; it is tried again", "error", err)
		}
		select {
		case <-s.ctx.Done():
			return
		case <-every.C:
		}
	}
}

// sweepDue sweeps the organizations whose time has come, and can be ended anywhere:
// what is claimed and not swept is claimed again when the lease has ended.
func (s *Server) sweepDue(ctx context.Context) error {
	until := s.now().Add(sweepLease)
	due, err := s.config.Control.ClaimSweeps(ctx, s.now(), until, sweepsAtOnce)
	if err != nil {
		return err
	}
	for _, org := range due {
		w := &sweep{s: s, org: org, until: until}
		err := w.run(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // The server is closed.
		}
		next := s.now().Add(sweepEvery)
		if err != nil {
			s.log.WarnContext(ctx, "what is past its retention could not be removed; it is tried again", "organization", org, "error", err)
			next = s.now().Add(sweepAgain)
		}
		err = s.config.Control.MoveSweep(ctx, org, w.until, next)
		if err != nil && schema.CodeOf(err) != schema.CodeConflict {
			return err
		}
	}
	return nil
}

// sweep is one look at one organization.
type sweep struct {
	s     *Server
	org   string
	until time.Time
	cell  *cell
	// removed counts the events of this sweep.
	removed int
}

func (w *sweep) run(ctx context.Context) error {
	opened, release, err := w.s.cells.acquire(ctx, w.org)
	if err != nil {
		return err
	}
	defer release()
	w.cell = opened
	if err := w.settle(ctx); err != nil {
		return err
	}
	namespaces, err := opened.Door().ListNamespaces(ctx)
	if err != nil {
		return err
	}
	for _, n := range namespaces {
		if n.RetentionDays == 0 || n.RetentionFrom == nil || n.RetentionFrom.After(w.s.now()) {
			continue
		}
		if err := w.namespace(ctx, n); err != nil {
			return err
		}
	}
	if w.removed > 0 {
		w.s.log.InfoContext(ctx, "events past their retention were removed", "organization", w.org, "events", w.removed)
	}
	return w.tell(ctx)
}

// settle forgets the removed events whose runs the cell has removed.
func (w *sweep) settle(ctx context.Context) error {
	for {
		to, err := w.cell.Work().Cursor(ctx, store.CursorRemovals)
		if err != nil {
			return err
		}
		begun := time.Now()
		n, err := w.cell.Door().SettleRemovals(ctx, to, settleBatch)
		if err != nil || n < settleBatch {
			return err
		}
		if err := w.pace(ctx, begun); err != nil {
			return err
		}
	}
}

// tell wakes the cell when it has runs to remove: once a day at most, however
// long it would sleep otherwise.
func (w *sweep) tell(ctx context.Context) error {
	done, err := w.cell.Work().Cursor(ctx, store.CursorRemovals)
	if err != nil {
		return err
	}
	left, err := w.cell.Door().Removals(ctx, done, 1)
	if err != nil || len(left) == 0 {
		return err
	}
	return w.s.wake(ctx, w.cell)
}

// pace lets others write for as long as the last batch took them the door, and
// keeps the claim.
func (w *sweep) pace(ctx context.Context, begun time.Time) error {
	rest := time.NewTimer(max(time.Since(begun), time.Millisecond))
	defer rest.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-rest.C:
	}
	now := w.s.now()
	if w.until.Sub(now) > sweepLease/2 {
		return nil
	}
	next := now.Add(sweepLease)
	if err := w.s.config.Control.MoveSweep(ctx, w.org, w.until, next); err != nil {
		return err
	}
	w.until = next
	return nil
}

// entry is the audit entry of one batch.
func (w *sweep) entry(n store.Namespace, before time.Time, events int) (store.AuditDraft, error) {
	sealed, err := w.cell.sealJSON(place.Audit(w.org, store.ChainDoor), map[string]any{
		"events": events, "retention_days": n.RetentionDays, "ended_before": before,
	})
	return store.AuditDraft{Actor: actorSystem, Action: "events.remove", Target: n.ID, Namespace: n.ID, DetailSealed: sealed}, err
}
