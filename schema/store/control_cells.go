package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/tenonhq/tenon/schema/store/internal/database"
)

// ClaimCells gives the host up to limit cells that no live lease holds, each
// with an epoch that is new to the world. A host does not get back by this what
// it still holds itself.
func (c *Control) ClaimCells(ctx context.Context, host string, until, now time.Time, limit int) ([]CellRow, error) {
	var out []CellRow
	err := c.s.w.do(ctx, "claim cells", func(t *txn) error {
		db, tctx := t.Read()
		free, err := many[CellRow](tctx, db, "cells", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("(host = '' OR lease_until <= ?) AND state <> ?", now.UTC(), CellDeleted).Order("organization").Limit(int64(limit))
		})
		if err != nil {
			return err
		}
		for i := range free {
			row := &free[i]
			row.Host, row.Epoch, row.LeaseUntil, row.UpdatedAt = host, row.Epoch+1, until.UTC().Truncate(time.Microsecond), now.UTC().Truncate(time.Microsecond)
			err := t.change(func(db bun.IDB) query {
				return db.NewUpdate().Model(row).Column("host", "epoch", "lease_until", "updated_at").WherePK()
			})
			if err != nil {
				return err
			}
		}
		out = free
		return nil
	})
	return out, err
}

// RenewCells extends the leases that the host holds and returns their
// organizations. A cell that is not among them is another's.
func (c *Control) RenewCells(ctx context.Context, host string, until time.Time) ([]string, error) {
	var out []string
	err := c.s.w.do(ctx, "renew leases", func(t *txn) error {
		db, tctx := t.Read()
		held, err := many[CellRow](tctx, db, "cells", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("host = ? AND state <> ?", host, CellDeleted).Order("organization")
		})
		if err != nil || len(held) == 0 {
			out = nil
			return err
		}
		err = t.change(func(db bun.IDB) query {
			return db.NewUpdate().Model((*CellRow)(nil)).Set("lease_until = ?", until.UTC()).Where("host = ? AND state <> ?", host, CellDeleted)
		})
		if err != nil {
			return err
		}
		out = make([]string, len(held))
		for i := range held {
			out[i] = held[i].Organization
		}
		return nil
	})
	return out, err
}

// ReleaseCell gives a cell up that the host holds.
func (c *Control) ReleaseCell(ctx context.Context, host, org string) error {
	return c.cell(ctx, "release the cell", func(q *bun.UpdateQuery) *bun.UpdateQuery {
		return q.Set("host = ''").Where("organization = ? AND host = ?", org, host)
	})
}

// SetCellState sets the state of a cell alone.
func (c *Control) SetCellState(ctx context.Context, org, state string) error {
	return c.cell(ctx, "set the cell's state", func(q *bun.UpdateQuery) *bun.UpdateQuery {
		return q.Set("state = ?", state).Where("organization = ?", org)
	})
}

// SetWakeAt says when a hibernating cell must run again; nil for never. Only
// the host that holds the cell may say so.
func (c *Control) SetWakeAt(ctx context.Context, host, org string, at *time.Time) error {
	return c.cell(ctx, "set the cell's time to wake", func(q *bun.UpdateQuery) *bun.UpdateQuery {
		return q.Set("wake_at = ?", at).Where("organization = ? AND host = ?", org, host)
	})
}

func (c *Control) cell(ctx context.Context, doing string, set func(*bun.UpdateQuery) *bun.UpdateQuery) error {
	return c.s.w.do(ctx, doing, func(t *txn) error {
		return t.change(func(db bun.IDB) query {
			return set(db.NewUpdate().Model((*CellRow)(nil)).Set("updated_at = ?", now()))
		})
	})
}

// GetCell finds a cell.
func (c *Control) GetCell(ctx context.Context, org string) (CellRow, error) {
	return one[CellRow](ctx, c.s.Bun(), "cell", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("organization = ?", org)
	})
}

func (s *side) ping(ctx context.Context) error {
	return database.Error("ask the database", s.Bun().PingContext(ctx))
}
