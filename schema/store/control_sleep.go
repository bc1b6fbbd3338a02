package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store/internal/database"
)

// TouchLife is how long a mark of [Control.TouchCell] stands for what is put
// into the door after it. Whoever acknowledges something made its mark within so
// long before the acknowledgement, by its own clock; whoever lets a cell sleep
// has seen no new mark for longer than that, by its own clock. So the clocks of
// two machines are never compared (invariant 6).
const TouchLife = 3 * time.Second

// ClockSkew is by how much the clocks of two machines, or of one before and after it was
// set a little, may differ: what was written by a clock further ahead than that was
// written by one that was wrong.
const ClockSkew = 5 * time.Second

// TouchCell marks that the cell's door is being written to. A sleeping cell is
// asleep no longer: the next look of any host claims it, whether a bell was
// heard or not.
func (c *Control) TouchCell(ctx context.Context, org string) error {
	return c.cell(ctx, "mark the cell", func(q *bun.UpdateQuery) *bun.UpdateQuery {
		return q.Set("touches = touches + 1").Set("asleep = ?", false).Where("organization = ?", org)
	})
}

// SleepCell gives a cell up that the host holds by the claim of the epoch, and
// lets it sleep until wakeAt; nil for as long as nobody touches it. CodeConflict
// means that it must go on: there was another touch since those that the host
// knows of, or the claim is not the host's anymore.
func (c *Control) SleepCell(ctx context.Context, host, org string, epoch, touches int64, wakeAt *time.Time) error {
	err := c.s.w.do(ctx, "let the cell sleep", func(t *txn) error {
		err := t.change(func(db bun.IDB) query {
			return db.NewUpdate().Model((*CellRow)(nil)).Set("host = ''").Set("asleep = ?", true).Set("wake_at = ?", wakeAt).
				Set("updated_at = ?", now()).
				Where("organization = ? AND host = ? AND epoch = ? AND touches = ?", org, host, epoch, touches)
		})
		if errors.Is(err, sql.ErrNoRows) {
			return schema.Errorf(schema.CodeConflict, "the cell has work, or another host has the cell")
		}
		return err
	})
	return err
}

// NextWake is when the first of the sleeping cells must run again; nil for never.
func (c *Control) NextWake(ctx context.Context) (*time.Time, error) {
	rows, err := many[CellRow](ctx, c.s.Bun(), "cells", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("asleep AND wake_at IS NOT NULL AND state <> ?", CellDeleted).Order("wake_at").Limit(1)
	})
	if err != nil || len(rows) == 0 {
		return nil, database.Error("find the next cell to wake", err)
	}
	return rows[0].WakeAt, nil
}
