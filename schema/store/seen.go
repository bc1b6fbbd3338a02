package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store/internal/database"
)

// digestLength is that of a dedupe key under which an event can come again.
const digestLength = 64

// seenKey is what is kept of a dedupe key once its event is removed: 128 bits,
// which tell messages apart. It is nil for an event that nothing repeats.
func seenKey(dedupe string) []byte {
	if len(dedupe) != digestLength {
		return nil
	}
	key, err := hex.DecodeString(dedupe[:digestLength/2])
	if err != nil {
		return nil
	}
	return key
}

var seenRows = database.NewBulk("seen", "ON CONFLICT (key) DO NOTHING",
	database.Column{Name: "key", Type: database.Bytes},
	database.Column{Name: "event", Type: database.Bytes},
)

// remember keeps what is needed to know the events again. One that could not be
// known again is not to be removed: CodeInternal (invariant 7).
func (t *txn) remember(events []EventHead) error {
	var rows [][]any
	for _, e := range events {
		if e.DedupeKey == e.ID {
			continue
		}
		key := seenKey(e.DedupeKey)
		id, err := schema.PackID(schema.PrefixEvent, e.ID)
		if err != nil || key == nil {
			return schema.Errorf(schema.CodeInternal, "an event could not be known again, and is not removed")
		}
		rows = append(rows, []any{key, id})
	}
	_, err := seenRows.Insert(t.Tx, rows)
	return err
}

const selectSeen = "SELECT event FROM seen WHERE key = ?"

// duplicateOf finds the earlier event that one repeats: its number, or its id
// when it was removed.
func (t *txn) duplicateOf(e Event) (seq int64, removed string, err error) {
	err = t.QueryRow("SELECT seq FROM events WHERE source = ? AND dedupe_key = ?", []any{e.Source, e.DedupeKey}, &seq)
	if !errors.Is(err, sql.ErrNoRows) {
		return seq, "", err
	}
	var packed []byte
	if err := t.QueryRow(selectSeen, []any{blob(seenKey(e.DedupeKey))}, &packed); err != nil {
		return 0, "", err
	}
	removed, err = schema.UnpackID(schema.PrefixEvent, packed)
	return 0, removed, err
}

// seen finds an event that was removed by its dedupe key.
func (d *Door) seen(ctx context.Context, dedupe string) (Event, error) {
	rows, err := d.s.Query(ctx, selectSeen, blob(seenKey(dedupe)))
	return single("find the event", rows, err, func(row scanner) (Event, error) {
		var packed []byte
		if err := row.Scan(&packed); err != nil {
			return Event{}, err
		}
		id, err := schema.UnpackID(schema.PrefixEvent, packed)
		return Event{ID: id}, err
	})
}
