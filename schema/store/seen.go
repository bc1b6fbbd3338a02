package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store/internal/database"
)

var seenRows = database.NewBulk("seen", "ON CONFLICT (key) DO NOTHING",
	database.Column{Name: "key", Type: database.Bytes},
	database.Column{Name: "event", Type: database.Bytes},
)

// remember keeps what is needed to know the events again (invariant 7).
func (t *txn) remember(events []EventHead) error {
	var rows [][]any
	for _, e := range events {
		id, err := schema.PackID(schema.PrefixEvent, e.ID)
		if err != nil {
			return schema.Errorf(schema.CodeInternal, "an event could not be known again, and is not removed")
		}
		if !bytes.Equal(e.Key, id) {
			rows = append(rows, []any{e.Key, id})
		}
	}
	_, err := seenRows.Insert(t.Tx, rows)
	return err
}

const selectSeen = "SELECT event FROM seen WHERE key = ?"

// duplicateOf finds the earlier event that one repeats, by what is kept of its dedupe
// key: its number, or its id when it was removed.
func (t *txn) duplicateOf(key []byte) (seq int64, removed string, err error) {
	err = t.QueryRow("SELECT seq FROM events WHERE identity = ?", []any{key}, &seq)
	if !errors.Is(err, sql.ErrNoRows) {
		return seq, "", err
	}
	var packed []byte
	if err := t.QueryRow(selectSeen, []any{key}, &packed); err != nil {
		return 0, "", err
	}
	removed, err = schema.UnpackID(schema.PrefixEvent, packed)
	return 0, removed, err
}

// seen finds an event that was removed by what was kept of its dedupe key.
func (d *Door) seen(ctx context.Context, key []byte) (Event, error) {
	rows, err := d.s.Query(ctx, selectSeen, key)
	return single("find the event", rows, err, func(row scanner) (Event, error) {
		var packed []byte
		if err := row.Scan(&packed); err != nil {
			return Event{}, err
		}
		id, err := schema.UnpackID(schema.PrefixEvent, packed)
		return Event{ID: id}, err
	})
}
