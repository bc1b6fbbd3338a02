package api

import (
	"context"
	"errors"
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
	// sweepTurn is how long one organization is swept before others are, that are
	// due, too.
	sweepTurn = time.Minute
	// sweepLease is how long a sweep is its process's, should that die.
	sweepLease = 10 * time.Minute
	// settleBatch bounds the removed events that one transaction forgets.
	settleBatch = 500
)

// errTurn ends a sweep that has had its turn; it goes on after the others.
var errTurn = errors.New("the sweep goes on after others")

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

// sweepDue sweeps the organizations whose time has come, one after the other. It
// can be ended anywhere: what is claimed and not swept is claimed again when the
// lease has ended.
func (s *Server) sweepDue(ctx context.Context) error {
	for {
		until := s.now().Add(sweepLease).Truncate(time.Microsecond)
		org, err := s.config.Control.ClaimSweep(ctx, s.now(), until)
		if err != nil || org == "" {
			return err
		}
		w := &sweep{s: s, org: org, begun: time.Now(), turn: sweepTurn, round: s.rounds.of(org, s.now())}
		err = w.run(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // The server is closed.
		}
		next := s.now().Add(sweepEvery)
		switch {
		case errors.Is(err, errTurn):
			next = s.now()
			s.rounds.keep(org, w.round)
		case err != nil:
			s.log.WarnContext(ctx, "what is past its retention could not be removed; it is tried again", "organization", org, "error", err)
			next = s.now().Add(sweepAgain)
		}
		if w.removed > 0 {
			s.log.InfoContext(ctx, "events past their retention were removed", "organization", org, "events", w.removed)
		}
		err = s.config.Control.MoveSweep(ctx, org, until, next)
		if err != nil && schema.CodeOf(err) != schema.CodeConflict {
			return err
		}
	}
}

// sweep is one look at one organization.
type sweep struct {
	s     *Server
	org   string
	begun time.Time
	turn  time.Duration
	round *round
	cell  *cell
	// decided is called between a decision and the removal, by tests.
	decided func()
	// removed counts the events of this sweep.
	removed int
}

// over tells whether the sweep has had its turn.
func (w *sweep) over() bool { return time.Since(w.begun) > w.turn }

func (w *sweep) run(ctx context.Context) error {
	opened, release, err := w.s.cells.acquire(ctx, w.org)
	if err != nil {
		return err
	}
	defer release()
	w.cell = opened
	if err := w.expectTimers(ctx); err != nil {
		return err
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	namespaces, err := opened.Door().ListNamespaces(ctx)
	if err != nil {
		return err
	}
	for _, n := range namespaces {
		if n.RetentionDays == 0 || n.RetentionFrom == nil || n.RetentionFrom.After(w.s.now()) || w.round.done[n.ID] {
			continue
		}
		if err := w.namespace(ctx, n); err != nil {
			return err
		}
		w.round.done[n.ID] = true
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

// pace lets others write for as long as the last batch took them the door.
func (w *sweep) pace(ctx context.Context, begun time.Time) error {
	rest := time.NewTimer(max(time.Since(begun), time.Millisecond))
	defer rest.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-rest.C:
		return nil
	}
}

// entry is the audit entry of one batch.
func (w *sweep) entry(n store.Namespace, before time.Time, events int) (store.AuditDraft, error) {
	sealed, err := w.cell.sealJSON(place.Audit(w.org, store.ChainDoor), map[string]any{
		"events": events, "retention_days": n.RetentionDays, "ended_before": before,
	})
	return store.AuditDraft{Actor: actorSystem, Action: "events.remove", Target: n.ID, Namespace: n.ID, DetailSealed: sealed}, err
}
