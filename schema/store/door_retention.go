package store

import (
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store/internal/database"
)

// SetRetention sets for how many days a namespace keeps what ended runs left, and
// from when on it removes anything; was is the namespace as it was read.
// CodeConflict means that its retention was changed since.
func (d *Door) SetRetention(ctx context.Context, was Namespace, days int, from *time.Time, a AuditDraft) error {
	return d.s.w.do(ctx, "set the retention", func(t *txn) error {
		db, tctx := t.Read()
		row, err := one[Namespace](tctx, db, "namespace", func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("id = ?", was.ID) })
		if err != nil {
			return err
		}
		if !row.keepsAs(was) {
			return schema.Errorf(schema.CodeConflict, "the retention was changed meanwhile")
		}
		err = t.change(func(db bun.IDB) query {
			return db.NewUpdate().Model((*Namespace)(nil)).Set("retention_days = ?", days).Set("retention_from = ?", from).Where("id = ?", was.ID)
		})
		if err != nil {
			return err
		}
		t.audit(a)
		return nil
	})
}

// keepsAs tells whether two rows of a namespace say the same of its retention.
func (n Namespace) keepsAs(other Namespace) bool {
	if n.RetentionDays != other.RetentionDays || (n.RetentionFrom == nil) != (other.RetentionFrom == nil) {
		return false
	}
	return n.RetentionFrom == nil || n.RetentionFrom.Equal(*other.RetentionFrom)
}

// Sweep is how far a namespace's events were looked at.
type Sweep struct {
	// Seq is the number of the last of them.
	Seq int64
	// Before is up to which end of their runs they were removed; zero when none was.
	Before time.Time
}

// LastSweep is how far a namespace's events were looked at.
func (d *Door) LastSweep(ctx context.Context, namespace string) (Sweep, error) {
	rows, err := d.s.Query(ctx, "SELECT seq, before FROM sweeps WHERE namespace = ?", namespace)
	all, err := collect("find how far events were looked at", rows, err, func(row scanner) (Sweep, error) {
		var s Sweep
		var before int64
		err := row.Scan(&s.Seq, &before)
		s.Before = fromMicros(before)
		return s, err
	})
	if err != nil || len(all) == 0 {
		return Sweep{}, err
	}
	return all[0], nil
}

// Removal is a batch of events of one namespace that are past their time.
type Removal struct {
	// Namespace is the row by which they are.
	Namespace Namespace
	// Before is the end of their runs up to which they are removed.
	Before time.Time
	// Events are whole lineages; Runs are the ids of their runs.
	Events []EventHead
	Runs   []string
	// Held are the numbers of events that have to stay, and are to be looked at
	// again. Seq is the number of the last event looked at; 0 leaves it.
	Held []int64
	Seq  int64
}

// Remove removes events with their payloads, and what people asked of their
// runs; the runs are the cell's to remove: see [Door.Removals]. What is left
// makes a message that comes again the same one. CodeConflict means that the
// namespace's retention, or one of the lineages, was changed since they were looked
// at: nothing was removed.
func (d *Door) Remove(ctx context.Context, r Removal, a AuditDraft) error {
	return d.s.w.do(ctx, "remove events", func(t *txn) error {
		if len(r.Events) > 0 {
			if err := t.removable(r); err != nil {
				return err
			}
			if err := t.removeEvents(r); err != nil {
				return err
			}
			t.audit(a)
		}
		return t.swept(r)
	})
}

// removable looks again, under the writers' lock, at what may have changed.
func (t *txn) removable(r Removal) error {
	db, ctx := t.Read()
	row, err := one[Namespace](ctx, db, "namespace", func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("id = ?", r.Namespace.ID) })
	if err != nil {
		return err
	}
	roots, decided := make([]string, len(r.Events)), make(map[string]bool, len(r.Events))
	for i, e := range r.Events {
		roots[i], decided[e.ID] = e.Root(), true
	}
	list := database.List(t.Postgres(), roots)
	rows, err := t.Query(headsOf(t.Postgres()), list, list)
	there, err := collect("list the events of the lineages", rows, err, scanHead)
	if err != nil {
		return err
	}
	// A replay that came since is one of them, and was not decided on (invariant 7).
	strange := slices.ContainsFunc(there, func(e EventHead) bool { return !decided[e.ID] })
	if strange || len(there) != len(decided) || !row.keepsAs(r.Namespace) {
		return schema.Errorf(schema.CodeConflict, "what was to be removed was changed meanwhile")
	}
	return nil
}

var removalRows = database.NewBulk("removals", "",
	database.Column{Name: "event_seq", Type: database.Int},
	database.Column{Name: "event", Type: database.Text},
	database.Column{Name: "namespace", Type: database.Text},
)

func (t *txn) removeEvents(r Removal) error {
	if err := t.remember(r.Events); err != nil {
		return err
	}
	seqs, rows := make([]int64, len(r.Events)), make([][]any, len(r.Events))
	for i, e := range r.Events {
		seqs[i], rows[i] = e.Seq, []any{e.Seq, e.ID, e.Namespace}
	}
	if _, err := removalRows.Insert(t.Tx, rows); err != nil {
		return err
	}
	postgres := t.Postgres()
	list := database.List(postgres, seqs)
	if _, _, err := t.Exec("DELETE FROM held WHERE namespace = ? AND "+database.OneOf(postgres, "seq"), r.Namespace.ID, list); err != nil {
		return err
	}
	if _, _, err := t.Exec("DELETE FROM commands WHERE run <> '' AND "+database.OneOf(postgres, "run"), database.List(postgres, r.Runs)); err != nil {
		return err
	}
	_, _, err := t.Exec("DELETE FROM events WHERE "+database.OneOf(postgres, "seq"), list)
	return err
}

var heldRows = database.NewBulk("held", "ON CONFLICT (namespace, seq) DO NOTHING",
	database.Column{Name: "namespace", Type: database.Text},
	database.Column{Name: "seq", Type: database.Int},
)

// swept notes how far events were looked at. Neither ever goes back.
func (t *txn) swept(r Removal) error {
	rows := make([][]any, len(r.Held))
	for i, seq := range r.Held {
		rows[i] = []any{r.Namespace.ID, seq}
	}
	if _, err := heldRows.Insert(t.Tx, rows); err != nil {
		return err
	}
	before := int64(0)
	if len(r.Events) > 0 {
		before = micros(r.Before)
	}
	_, _, err := t.Exec(`INSERT INTO sweeps (namespace, seq, before) VALUES (?, ?, ?) ON CONFLICT (namespace) DO UPDATE
SET seq = CASE WHEN excluded.seq > sweeps.seq THEN excluded.seq ELSE sweeps.seq END,
before = CASE WHEN excluded.before > sweeps.before THEN excluded.before ELSE sweeps.before END`, r.Namespace.ID, r.Seq, before)
	return err
}
