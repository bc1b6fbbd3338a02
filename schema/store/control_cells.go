package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/tenonhq/tenon/schema/store/internal/database"
)

// asleepAhead is by how much a cell must have fallen asleep ahead of a host's clock for
// that to take it for the sleep of a wrong clock: hosts whose own clocks differ by as much
// take each other's cells anyway.
const asleepAhead = time.Minute

// ClaimCells gives the host up to limit cells that no live lease holds and that
// are not asleep beyond now, each with an epoch that is new to the world. One that
// fell asleep by a clock that was ahead is not: nobody knows when it is to wake. A host
// does not get back by this what it still holds itself.
func (c *Control) ClaimCells(ctx context.Context, host string, until, now time.Time, limit int) ([]CellRow, error) {
	return c.claim(ctx, host, until, now, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("(NOT asleep OR wake_at <= ? OR wake_at IS NOT NULL AND updated_at > ?)", now.UTC(), now.Add(asleepAhead).UTC()).
			Order("organization").Limit(int64(limit))
	})
}

// ClaimCell gives the host one cell, asleep or not, if no live lease holds it;
// it returns none otherwise.
func (c *Control) ClaimCell(ctx context.Context, host, org string, until, now time.Time) ([]CellRow, error) {
	return c.claim(ctx, host, until, now, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("organization = ?", org)
	})
}

func (c *Control) claim(
	ctx context.Context, host string, until, now time.Time, which func(*bun.SelectQuery) *bun.SelectQuery,
) ([]CellRow, error) {
	var out []CellRow
	err := c.s.w.do(ctx, "claim cells", func(t *txn) error {
		db, tctx := t.Read()
		free, err := many[CellRow](tctx, db, "cells", func(q *bun.SelectQuery) *bun.SelectQuery {
			return which(q.Where("(host = '' OR lease_until <= ?) AND state NOT IN (?, ?)", now.UTC(), CellDeleted, CellPutBack))
		})
		if err != nil {
			return err
		}
		for i := range free {
			row := &free[i]
			row.Host, row.Epoch, row.LeaseUntil, row.UpdatedAt = host, row.Epoch+1, until.UTC().Truncate(time.Microsecond), now.UTC().Truncate(time.Microsecond)
			row.Asleep, row.WakeAt = false, nil
			err := t.change(func(db bun.IDB) query {
				return db.NewUpdate().Model(row).Column("host", "epoch", "lease_until", "asleep", "wake_at", "updated_at").WherePK()
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

// RenewCells extends the leases that the host holds and returns their cells. One
// that is not among them is another's.
func (c *Control) RenewCells(ctx context.Context, host string, until time.Time) ([]CellRow, error) {
	var out []CellRow
	err := c.s.w.do(ctx, "renew leases", func(t *txn) error {
		db, tctx := t.Read()
		held, err := many[CellRow](tctx, db, "cells", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("host = ? AND state <> ?", host, CellDeleted).Order("organization")
		})
		out = held
		if err != nil || len(held) == 0 {
			return err
		}
		return t.change(func(db bun.IDB) query {
			return db.NewUpdate().Model((*CellRow)(nil)).Set("lease_until = ?", until.UTC()).Where("host = ? AND state <> ?", host, CellDeleted)
		})
	})
	return out, err
}

// ReleaseCell gives a cell up that the host holds by the claim of the epoch.
func (c *Control) ReleaseCell(ctx context.Context, host, org string, epoch int64) error {
	return c.cell(ctx, "release the cell", func(q *bun.UpdateQuery) *bun.UpdateQuery {
		return q.Set("host = ''").Where("organization = ? AND host = ? AND epoch = ?", org, host, epoch)
	})
}

// SetCellState sets the state of a cell alone.
func (c *Control) SetCellState(ctx context.Context, org, state string) error {
	return c.cell(ctx, "set the cell's state", func(q *bun.UpdateQuery) *bun.UpdateQuery {
		return q.Set("state = ?", state).Where("organization = ?", org)
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
