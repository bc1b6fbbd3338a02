package store

import (
	"context"
	"time"

	"github.com/tenonhq/tenon/schema"
)

// ScheduleSweep has what is past its retention looked for in the organization's
// cell at a time, or before it.
func (c *Control) ScheduleSweep(ctx context.Context, org string, at time.Time) error {
	return c.s.w.do(ctx, "schedule the sweep", func(t *txn) error {
		_, _, err := t.Exec("UPDATE cells SET sweep_at = ? WHERE organization = ? AND (sweep_at = 0 OR sweep_at > ?)", micros(at), org, micros(at))
		return err
	})
}

// ClaimSweeps gives the caller up to limit organizations whose sweep is due. Nobody
// else is given one of them before until, which the caller can put off with
// [Control.MoveSweep]: what a process that died had claimed is another's then.
func (c *Control) ClaimSweeps(ctx context.Context, now, until time.Time, limit int) ([]string, error) {
	var out []string
	err := c.s.w.do(ctx, "claim sweeps", func(t *txn) error {
		rows, err := t.Query("SELECT organization FROM cells WHERE sweep_at > 0 AND sweep_at <= ? AND state = ? ORDER BY sweep_at LIMIT ?",
			micros(now), CellActive, limit)
		found, err := collect("find sweeps that are due", rows, err, func(row scanner) (string, error) {
			var org string
			return org, row.Scan(&org)
		})
		if err != nil {
			return err
		}
		for _, org := range found {
			if _, _, err := t.Exec("UPDATE cells SET sweep_at = ? WHERE organization = ?", micros(until), org); err != nil {
				return err
			}
		}
		out = found
		return nil
	})
	return out, err
}

// MoveSweep sets another time for a sweep that was claimed until from. CodeConflict
// means that the claim is the caller's no more.
func (c *Control) MoveSweep(ctx context.Context, org string, from, to time.Time) error {
	return c.s.w.do(ctx, "move the sweep", func(t *txn) error {
		n, _, err := t.Exec("UPDATE cells SET sweep_at = ? WHERE organization = ? AND sweep_at = ?", micros(to), org, micros(from))
		if err == nil && n == 0 {
			t.Writes--
			return schema.Errorf(schema.CodeConflict, "the sweep is another's now")
		}
		return err
	})
}
