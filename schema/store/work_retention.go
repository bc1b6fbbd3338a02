package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/tenonhq/tenon/schema/store/internal/database"
)

// CursorRemovals is how far the cell has removed the runs of events that are gone.
const CursorRemovals = "removals"

// removeRows bounds the rows that one transaction removes: other writers wait for
// no more than that.
const removeRows = 200

// RunHead is what there is to know of an event's run without its result.
type RunHead struct {
	EventSeq int64
	ID       string
	Event    string
	State    string
	EndedAt  time.Time
}

// RunsOf finds the runs of events by the events' numbers.
func (w *Work) RunsOf(ctx context.Context, events []int64) (map[int64]RunHead, error) {
	found := make(map[int64]RunHead, len(events))
	rows, err := w.s.Query(ctx, "SELECT seq, id, event, state, ended_at FROM runs WHERE "+database.OneOf(w.s.Postgres, "seq"), database.List(w.s.Postgres, events))
	_, err = collect("find the runs of the events", rows, err, func(row scanner) (struct{}, error) {
		var r RunHead
		var ended int64
		err := row.Scan(&r.EventSeq, &r.ID, &r.Event, &r.State, &ended)
		if err == nil {
			r.Event, err = eventOf(r.ID, r.Event)
		}
		r.EndedAt = fromMicros(ended)
		found[r.EventSeq] = r
		return struct{}{}, err
	})
	return found, err
}

// Final tells whether a run in that state has ended for good: nobody can bring it
// back.
func Final(state string) bool { return Terminal(state) && state != RunUncertain }

// RemoveRuns removes the runs of events that are gone, with journal and effects,
// in the order of [Door.Removals], as far as one short transaction goes; the cursor
// of removals moves with what was removed. It tells how many of the events are done
// with, and is to be called again for the others. A run that has not ended for
// good stays, and its id is in kept. The entry is asked for with the number of the
// runs that were removed, if any was.
func (w *Work) RemoveRuns(ctx context.Context, events []RemovedEvent, entry func(runs int) AuditDraft) (done int, kept []string, err error) {
	err = w.s.w.do(ctx, "remove runs", func(t *txn) error {
		done, kept = 0, nil
		runs, room := 0, int64(removeRows)
		for _, e := range events {
			run, err := t.removed(e)
			if err != nil {
				return err
			}
			whole := true
			switch {
			case run.ID == "":
			case !Final(run.State):
				kept = append(kept, run.ID)
			default:
				if room, whole, err = t.removeRun(e.EventSeq, room); err != nil {
					return err
				}
				if whole {
					runs++
				}
			}
			if !whole {
				break
			}
			done++
			if err := t.advance(CursorRemovals, e.Seq); err != nil {
				return err
			}
		}
		if runs > 0 {
			t.audit(entry(runs))
		}
		return nil
	})
	return done, kept, err
}

// removed finds the run of an event that is gone.
func (t *txn) removed(e RemovedEvent) (RunHead, error) {
	var r RunHead
	err := t.QueryRow("SELECT id, event, state FROM runs WHERE seq = ?", []any{e.EventSeq}, &r.ID, &r.Event, &r.State)
	if err == nil {
		r.Event, err = eventOf(r.ID, r.Event)
	}
	if errors.Is(err, sql.ErrNoRows) || err == nil && r.Event != e.Event {
		return RunHead{}, nil
	}
	return r, err
}

// removeRun removes up to room rows of a run, the run's own last, so that what is
// left can be found by it. It tells how much room is left, and whether it was
// enough.
func (t *txn) removeRun(seq, room int64) (left int64, whole bool, err error) {
	for _, table := range []string{"steps", "effects"} {
		n, _, err := t.Exec("DELETE FROM "+table+" WHERE run = ? AND key IN (SELECT key FROM "+table+" WHERE run = ? ORDER BY key LIMIT ?)", seq, seq, room)
		if err != nil {
			return 0, false, err
		}
		room -= n
	}
	if room <= 0 {
		return 0, false, nil
	}
	_, _, err = t.Exec("DELETE FROM runs WHERE seq = ?", seq)
	return room - 1, err == nil, err
}
