package store

import (
	"context"
	"strings"
	"time"

	"github.com/tenonhq/tenon/schema"
)

// What became of the event of a failed run.
const (
	DispositionReplayed  = "replayed"
	DispositionDiscarded = "discarded"
)

// Disposition is what a person did about the event of a failed run.
type Disposition struct {
	Event string
	Kind  string
	By    string
	At    time.Time
}

// ReplayEvent keeps an event that repeats another one, and notes that the other
// one was replayed, in one transaction. With the dedupe key of an earlier one it
// adds nothing, and that one is returned. CodeGone means that the other one was
// removed meanwhile.
func (d *Door) ReplayEvent(ctx context.Context, e Event, by string, a AuditDraft) (Event, error) {
	item, err := newAcceptance(e, a)
	if err != nil {
		return Event{}, err
	}
	err = d.s.w.do(ctx, "replay the event", func(t *txn) error {
		// Invariant 7: a lineage goes as a whole, and so does its ledger. Nothing
		// is added to one that went since the caller looked.
		if err := t.stillThere(e.Origin); err != nil {
			return err
		}
		if err := t.accept([]*acceptance{item}); err != nil {
			return err
		}
		return t.dispose(Disposition{Event: e.Origin, Kind: DispositionReplayed, By: by, At: item.event.ReceivedAt})
	})
	if err != nil {
		return Event{}, err
	}
	if item.duplicate {
		return d.earlier(ctx, item)
	}
	return item.event, nil
}

func (t *txn) stillThere(event string) error {
	var n int
	err := t.QueryRow("SELECT COUNT(*) FROM events WHERE id = ?", []any{event}, &n)
	if err == nil && n == 0 {
		return schema.Errorf(schema.CodeGone, "the event was removed")
	}
	return err
}

// Discard notes that nothing more is to be done about the event of a failed run.
// One that was replayed or discarded before is left as it is.
func (d *Door) Discard(ctx context.Context, disposition Disposition, a AuditDraft) error {
	disposition.Kind = DispositionDiscarded
	stamp(&disposition.At)
	return d.s.w.do(ctx, "discard the event", func(t *txn) error {
		if err := t.dispose(disposition); err != nil {
			return err
		}
		t.audit(a)
		return nil
	})
}

func (t *txn) dispose(d Disposition) error {
	_, _, err := t.Exec("INSERT INTO dispositions (event, kind, actor, at) VALUES (?, ?, ?, ?) ON CONFLICT (event) DO NOTHING",
		d.Event, d.Kind, d.By, micros(d.At))
	return err
}

// Disposed tells which of the events were replayed or discarded.
func (d *Door) Disposed(ctx context.Context, events []string) (map[string]string, error) {
	found := make(map[string]string)
	if len(events) == 0 {
		return found, nil
	}
	args := make([]any, len(events))
	for i, e := range events {
		args[i] = e
	}
	rows, err := d.s.Query(ctx, "SELECT event, kind FROM dispositions WHERE event IN ("+strings.TrimSuffix(strings.Repeat("?,", len(events)), ",")+")", args...)
	_, err = collect("list the dispositions", rows, err, func(row scanner) (struct{}, error) {
		var event, kind string
		err := row.Scan(&event, &kind)
		found[event] = kind
		return struct{}{}, err
	})
	return found, err
}

// Lineage lists the numbers of the earlier events whose effects are the same as
// this one's, the oldest first; none for an event with effects of its own.
func (d *Door) Lineage(ctx context.Context, e Event) ([]int64, error) {
	if e.Lineage == "" {
		return nil, nil
	}
	rows, err := d.s.Query(ctx, "SELECT seq FROM events WHERE (id = ? OR lineage = ?) AND seq < ? ORDER BY seq", e.Lineage, e.Lineage, e.Seq)
	return collect("list the events of the lineage", rows, err, func(row scanner) (int64, error) {
		var seq int64
		return seq, row.Scan(&seq)
	})
}

// EventFilter says which events are listed; zero fields let everything pass.
type EventFilter struct {
	Namespace string
	Source    string
	Flow      string
	// From and To bound when the event was received; To is not included.
	From, To time.Time
	// Events are ids, of which the event must be one.
	Events []string
	Page
}

// FindEvents lists the events that a filter lets pass, newest first.
func (d *Door) FindEvents(ctx context.Context, f EventFilter) ([]Event, error) {
	if f.Namespace == "" {
		return nil, schema.Errorf(schema.CodeInternal, "events are listed of one namespace")
	}
	where, args := []string{"namespace = ?"}, []any{f.Namespace}
	add := func(condition string, set bool, values ...any) {
		if set {
			where, args = append(where, condition), append(args, values...)
		}
	}
	add("source = ?", f.Source != "", f.Source)
	add("flow = ?", f.Flow != "", f.Flow)
	add("received_at >= ?", !f.From.IsZero(), micros(f.From))
	add("received_at < ?", !f.To.IsZero(), micros(f.To))
	add("seq < (SELECT seq FROM events WHERE id = ?)", f.After != "", f.After)
	if len(f.Events) > 0 {
		ids := make([]any, len(f.Events))
		for i, id := range f.Events {
			ids[i] = id
		}
		add("id IN ("+strings.TrimSuffix(strings.Repeat("?,", len(ids)), ",")+")", true, ids...)
	}
	rows, err := d.s.Query(ctx, selectEvents+"WHERE "+strings.Join(where, " AND ")+" ORDER BY seq DESC LIMIT ?", append(args, limit(f.Limit))...)
	return collect("list the events", rows, err, scanEvent)
}
