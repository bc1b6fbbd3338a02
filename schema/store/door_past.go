package store

import (
	"context"
	"time"

	"github.com/tenonhq/tenon/schema/store/internal/database"
)

// EventHead is what there is to know of an event without its payload.
type EventHead struct {
	Seq       int64
	ID        string
	Namespace string
	// Key is what is kept of its dedupe key.
	Key        []byte
	Lineage    string
	ReceivedAt time.Time
	// Size is that of the sealed payload, in bytes.
	Size int64
}

// Root is the id of the first event whose effects are the same as this one's.
func (e EventHead) Root() string {
	if e.Lineage != "" {
		return e.Lineage
	}
	return e.ID
}

const selectHeads = "SELECT e.seq, e.id, s.namespace, e.identity, e.lineage, e.received_at, length(e.payload_sealed) FROM events e JOIN streams s ON s.stream = e.stream "

func scanHead(row scanner) (EventHead, error) {
	var e EventHead
	var at int64
	err := row.Scan(&e.Seq, &e.ID, &e.Namespace, &e.Key, &e.Lineage, &at, &e.Size)
	e.ReceivedAt = fromMicros(at)
	return e, err
}

// headsOf finds the events of lineages by the ids of their first events, twice.
func headsOf(postgres bool) string {
	return selectHeads + "WHERE " + database.OneOf(postgres, "e.id") + " OR (e.lineage <> '' AND " + database.OneOf(postgres, "e.lineage") + ") ORDER BY e.seq"
}

// HeadsAfter lists events of all namespaces in the order of their numbers.
func (d *Door) HeadsAfter(ctx context.Context, seq int64, max int) ([]EventHead, error) {
	rows, err := d.s.Query(ctx, selectHeads+"WHERE e.seq > ? ORDER BY e.seq LIMIT ?", seq, max)
	return collect("list the events", rows, err, scanHead)
}

// HeldAfter lists the events of a namespace that had to stay when they were
// looked at, in the order of their numbers.
func (d *Door) HeldAfter(ctx context.Context, namespace string, seq int64, max int) ([]EventHead, error) {
	rows, err := d.s.Query(ctx, selectHeads+"JOIN held h ON h.seq = e.seq WHERE h.namespace = ? AND h.seq > ? ORDER BY h.seq LIMIT ?", namespace, seq, max)
	return collect("list the events", rows, err, scanHead)
}

// Lineages lists all events of the lineages whose first events have the ids.
func (d *Door) Lineages(ctx context.Context, roots []string) ([]EventHead, error) {
	list := database.List(d.s.Postgres, roots)
	rows, err := d.s.Query(ctx, headsOf(d.s.Postgres), list, list)
	return collect("list the events of the lineages", rows, err, scanHead)
}

// DisposedAt tells when events were replayed or discarded; those that were not
// are not in it.
func (d *Door) DisposedAt(ctx context.Context, events []string) (map[string]time.Time, error) {
	found := make(map[string]time.Time)
	rows, err := d.s.Query(ctx, "SELECT event, at FROM dispositions WHERE "+database.OneOf(d.s.Postgres, "event"), database.List(d.s.Postgres, events))
	_, err = collect("list the dispositions", rows, err, func(row scanner) (struct{}, error) {
		var event string
		var at int64
		err := row.Scan(&event, &at)
		found[event] = fromMicros(at)
		return struct{}{}, err
	})
	return found, err
}

// LastCommands are the numbers of the last command of each of the runs that had one.
func (d *Door) LastCommands(ctx context.Context, runs []string) (map[string]int64, error) {
	found := make(map[string]int64)
	rows, err := d.s.Query(ctx, "SELECT run, MAX(seq) FROM commands WHERE run <> '' AND "+database.OneOf(d.s.Postgres, "run")+" GROUP BY run",
		database.List(d.s.Postgres, runs))
	_, err = collect("list the commands", rows, err, func(row scanner) (struct{}, error) {
		var run string
		var seq int64
		err := row.Scan(&run, &seq)
		found[run] = seq
		return struct{}{}, err
	})
	return found, err
}

// RemovedEvent is an event that is gone from the door, and whose run the cell is
// to remove. Seq orders them as they became visible.
type RemovedEvent struct {
	Seq       int64
	EventSeq  int64
	Event     string
	Namespace string
}

// Removals lists the events that the cell has to remove the runs of, after those
// that it has: see [CursorRemovals].
func (d *Door) Removals(ctx context.Context, after int64, max int) ([]RemovedEvent, error) {
	rows, err := d.s.Query(ctx, "SELECT seq, event_seq, event, namespace FROM removals WHERE seq > ? ORDER BY seq LIMIT ?", after, max)
	return collect("list the removed events", rows, err, func(row scanner) (RemovedEvent, error) {
		var e RemovedEvent
		return e, row.Scan(&e.Seq, &e.EventSeq, &e.Event, &e.Namespace)
	})
}

// SettleRemovals forgets removed events up to the number that the cell has come
// to, at most max of them, and tells how many. That they were replayed or discarded
// is forgotten here and not before, or a run that the cell still has would be
// listed as one that nobody has looked at.
func (d *Door) SettleRemovals(ctx context.Context, to int64, max int) (settled int64, err error) {
	err = d.s.w.do(ctx, "settle removed events", func(t *txn) error {
		const which = "SELECT event FROM removals WHERE seq <= ? ORDER BY seq LIMIT ?"
		if _, _, err := t.Exec("DELETE FROM dispositions WHERE event IN ("+which+")", to, max); err != nil {
			return err
		}
		settled, _, err = t.Exec("DELETE FROM removals WHERE seq IN (SELECT seq FROM removals WHERE seq <= ? ORDER BY seq LIMIT ?)", to, max)
		return err
	})
	return settled, err
}
