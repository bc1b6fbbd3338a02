package store

import (
	"context"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/store/internal/database"
	"github.com/tenonhq/tenon/schema/store/internal/group"
)

// acceptance is one event on its way in.
type acceptance struct {
	event Event
	// key is what is kept of its dedupe key.
	key   []byte
	draft AuditDraft
	// intake is the tag of what it was verified with; 0 for what needs no such.
	intake int64
	// changed: it was left out, since that does not hold anymore.
	changed   bool
	duplicate bool
	// removed is the id of the earlier event, if that is gone.
	removed string
}

func newAcceptance(e Event, a AuditDraft) (*acceptance, error) {
	stamp(&e.ReceivedAt)
	key, err := keptKey(e.DedupeKey)
	e.DedupeKey = ""
	return &acceptance{event: e, key: key, draft: a}, err
}

var accept = group.NewKind(func(t *txn, items []*acceptance) []error {
	errs := make([]error, len(items))
	err := t.accept(items)
	if err != nil {
		err = database.Error("accept the event", err)
	}
	for i, it := range items {
		switch {
		case err != nil:
			errs[i] = err
		case it.changed:
			errs[i] = group.Refuse(ErrChanged)
		}
	}
	return errs
})

// ErrChanged refuses a message that was verified with what does not hold anymore: it
// was not written.
var ErrChanged error = schema.Errorf(schema.CodeUnavailable, "what the message was verified with has changed").
	Advise("Send the message again.")

// AcceptEvent keeps an event and returns it with its sequence number once it
// is on disk. An event with the same source and dedupe key as an earlier one
// adds nothing: the earlier one is returned, and duplicate is true. Of an earlier
// one that was removed only the id is left. CodeInvalid is for a dedupe key of
// another form.
func (d *Door) AcceptEvent(ctx context.Context, e Event, a AuditDraft) (stored Event, duplicate bool, err error) {
	return d.accept(ctx, e, a, 0)
}

// AcceptMessage is AcceptEvent of a message that was verified with an intake: if that
// does not hold anymore, by the time of the transaction, nothing is written, and the error
// is [ErrChanged] (invariant 5).
func (d *Door) AcceptMessage(ctx context.Context, e Event, a AuditDraft, with Intake) (stored Event, duplicate bool, err error) {
	if with.tag == 0 {
		return Event{}, false, schema.Errorf(schema.CodeInternal, "the message was verified with nothing that was read")
	}
	return d.accept(ctx, e, a, with.tag)
}

func (d *Door) accept(ctx context.Context, e Event, a AuditDraft, intake int64) (stored Event, duplicate bool, err error) {
	item, err := newAcceptance(e, a)
	if err != nil {
		return Event{}, false, err
	}
	item.intake = intake
	if err := group.Together(ctx, d.s.w.committer, accept, item); err != nil {
		return Event{}, false, err
	}
	if item.duplicate {
		stored, err = d.earlier(ctx, item)
		return stored, true, err
	}
	return item.event, false, nil
}

// earlier finds the event that one repeats, of which only its number, or its id,
// is known by now.
func (d *Door) earlier(ctx context.Context, item *acceptance) (Event, error) {
	if item.removed != "" {
		return Event{ID: item.removed}, nil
	}
	stored, err := d.bySeq(ctx, item.event.Seq)
	if schema.CodeOf(err) == schema.CodeNotFound {
		// It has been removed since.
		return d.seen(ctx, item.key)
	}
	return stored, err
}

// eventRows leaves out what there was before, also if it was removed since, and what was
// verified with an intake that has changed.
var eventRows = database.NewBulkWhere("events", "ON CONFLICT (identity) DO NOTHING",
	database.Condition{
		Where: "NOT EXISTS (SELECT 1 FROM seen WHERE key = fresh.identity) AND (fresh.intake = 0 OR fresh.intake = (SELECT tag FROM intakes))",
		Given: []database.Column{{Name: "intake", Type: database.Int}},
	},
	database.Column{Name: "received_at", Type: database.Int},
	database.Column{Name: "stream", Type: database.Int},
	database.Column{Name: "scheduled", Type: database.Bool},
	database.Column{Name: "id", Type: database.Text},
	database.Column{Name: "identity", Type: database.Bytes},
	database.Column{Name: "payload_sealed", Type: database.Bytes},
	database.Column{Name: "origin", Type: database.Text},
	database.Column{Name: "lineage", Type: database.Text},
	database.Column{Name: "order_key", Type: database.Text},
)

func (t *txn) accept(items []*acceptance) error {
	rows := make([][]any, len(items))
	for i, it := range items {
		e := &it.event
		stream, err := t.dictionaries.streams.number(t, e.stream())
		if err != nil {
			return err
		}
		rows[i] = []any{
			micros(e.ReceivedAt), stream, e.Kind == config.KindSchedule, e.ID, it.key, blob(e.PayloadSealed), e.Origin, e.Lineage, e.OrderKey,
			it.intake,
		}
	}
	seqs, err := t.insertEvents(rows, items)
	if err != nil {
		return err
	}
	var holds int64
	for i, it := range items {
		it.changed, it.duplicate = false, false
		if seqs[i] != 0 {
			it.event.Seq = seqs[i]
			t.audit(it.draft)
			continue
		}
		if it.intake != 0 && holds == 0 {
			if err := t.QueryRow("SELECT tag FROM intakes", nil, &holds); err != nil {
				return err
			}
		}
		if it.changed = it.intake != 0 && it.intake != holds; it.changed {
			continue
		}
		it.duplicate = true
		if it.event.Seq, it.removed, err = t.duplicateOf(it.key); err != nil {
			return err
		}
	}
	return nil
}

// insertEvents returns the sequence number of each row, 0 for a duplicate.
func (t *txn) insertEvents(rows [][]any, items []*acceptance) ([]int64, error) {
	if !t.Postgres() {
		return eventRows.InsertEach(t.Tx, rows)
	}
	byID := make(map[string]int64, len(rows))
	err := eventRows.Returning(t.Tx, rows, "seq, id", func(seq int64, id string) { byID[id] = seq })
	if err != nil {
		return nil, err
	}
	seqs := make([]int64, len(rows))
	for i, it := range items {
		// Taken once: a batch may hold the very same event twice.
		seqs[i] = byID[it.event.ID]
		delete(byID, it.event.ID)
	}
	return seqs, nil
}

const eventColumns = `seq, id, namespace, source, kind, flow, flow_version, digest, payload_sealed, received_at, origin, lineage, order_key`

const selectEvents = "SELECT " + eventColumns + " FROM events JOIN streams USING (stream) "

func scanEvent(row scanner) (Event, error) { return scanEventAnd(row) }

// scanEventAnd scans further columns, too.
func scanEventAnd(row scanner, more ...any) (Event, error) {
	var e Event
	var at int64
	err := row.Scan(append([]any{
		&e.Seq, &e.ID, &e.Namespace, &e.Source, &e.Kind, &e.Flow, &e.FlowVersion, &e.Digest, &e.PayloadSealed, &at,
		&e.Origin, &e.Lineage, &e.OrderKey,
	}, more...)...)
	e.PayloadSealed, e.ReceivedAt = some(e.PayloadSealed), fromMicros(at)
	return e, err
}

func (d *Door) bySeq(ctx context.Context, seq int64) (Event, error) {
	rows, err := d.s.Query(ctx, selectEvents+"WHERE seq = ?", seq)
	return single("find the event", rows, err, scanEvent)
}

// FindEvent finds the event that was kept under a dedupe key; of one that was
// removed, its id.
func (d *Door) FindEvent(ctx context.Context, dedupeKey string) (Event, error) {
	key, err := keptKey(dedupeKey)
	if err != nil {
		return Event{}, err
	}
	rows, err := d.s.Query(ctx, selectEvents+"WHERE identity = ?", key)
	e, err := single("find the event", rows, err, scanEvent)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return d.seen(ctx, key)
	}
	return e, err
}

// EventsAfter lists events in the order of their sequence numbers. Whoever
// reads on from the last one misses none: numbers become visible in order. Of
// these events alone MaxRuns is set. One whose stream is not there is an error: it is
// not to be passed over (invariant 6).
func (d *Door) EventsAfter(ctx context.Context, seq int64, max int) ([]Event, error) {
	rows, err := d.s.Query(ctx, "SELECT "+eventColumns+", COALESCE((SELECT max_runs FROM flows WHERE id = streams.flow), 0) FROM events LEFT JOIN streams USING (stream) "+
		"WHERE seq > ? ORDER BY seq LIMIT ?", seq, max)
	return collect("list the events", rows, err, func(row scanner) (Event, error) {
		var most int
		e, err := scanEventAnd(row, &most)
		e.MaxRuns = most
		return e, err
	})
}

// LastScheduled finds the event that a schedule made last: the last one of each of its
// streams is at the end of an index.
func (d *Door) LastScheduled(ctx context.Context, schedule string) (Event, error) {
	rows, err := d.s.Query(ctx, selectEvents+`WHERE seq = (SELECT MAX(l.seq) FROM (
SELECT (SELECT MAX(e.seq) FROM events e WHERE e.scheduled AND e.stream = s.stream) AS seq FROM streams s WHERE s.source = ?) AS l)`, schedule)
	return single("find the event", rows, err, scanEvent)
}

// GetEvent finds an event of the namespace.
func (d *Door) GetEvent(ctx context.Context, namespace, id string) (Event, error) {
	rows, err := d.s.Query(ctx, selectEvents+"WHERE id = ? AND namespace = ?", id, namespace)
	return single("find the event", rows, err, scanEvent)
}

// ListEvents lists the events of a namespace, newest first.
func (d *Door) ListEvents(ctx context.Context, namespace string, p Page) ([]Event, error) {
	if p.After == "" {
		rows, err := d.s.Query(ctx, selectEvents+"WHERE namespace = ? ORDER BY seq DESC LIMIT ?", namespace, limit(p.Limit))
		return collect("list the events", rows, err, scanEvent)
	}
	rows, err := d.s.Query(ctx, selectEvents+"WHERE namespace = ? AND seq < (SELECT seq FROM events WHERE id = ?) ORDER BY seq DESC LIMIT ?",
		namespace, p.After, limit(p.Limit))
	return collect("list the events", rows, err, scanEvent)
}

// AddCommand keeps a command and returns it with its sequence number.
func (d *Door) AddCommand(ctx context.Context, c Command, a AuditDraft) (Command, error) {
	stamp(&c.CreatedAt)
	err := d.s.w.do(ctx, "save the command", func(t *txn) error {
		if err := t.command(c); err != nil {
			return err
		}
		if err := t.QueryRow("SELECT seq FROM commands WHERE id = ?", []any{c.ID}, &c.Seq); err != nil {
			return err
		}
		t.audit(a)
		return nil
	})
	if err != nil {
		return Command{}, err
	}
	return c, nil
}

func (t *txn) command(c Command) error {
	stamp(&c.CreatedAt)
	const insert = `INSERT INTO commands (created_at, id, namespace, run, kind, args_sealed, actor) VALUES (?, ?, ?, ?, ?, ?, ?)`
	_, _, err := t.Exec(insert, micros(c.CreatedAt), c.ID, c.Namespace, c.Run, c.Kind, blob(c.ArgsSealed), c.By)
	return err
}

// CommandsAfter lists commands in the order of their sequence numbers; see
// [Door.EventsAfter].
func (d *Door) CommandsAfter(ctx context.Context, seq int64, max int) ([]Command, error) {
	rows, err := d.s.Query(ctx, `SELECT seq, id, namespace, run, kind, args_sealed, actor, created_at
FROM commands WHERE seq > ? ORDER BY seq LIMIT ?`, seq, max)
	return collect("list the commands", rows, err, func(row scanner) (Command, error) {
		var c Command
		var at int64
		err := row.Scan(&c.Seq, &c.ID, &c.Namespace, &c.Run, &c.Kind, &c.ArgsSealed, &c.By, &at)
		c.ArgsSealed, c.CreatedAt = some(c.ArgsSealed), fromMicros(at)
		return c, err
	})
}
