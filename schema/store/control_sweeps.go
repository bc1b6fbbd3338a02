package store

import (
	"context"
	"database/sql"
	"errors"
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

// ClaimSweep gives the caller the organization whose sweep is due for longest, or
// an empty one. Nobody else is given it before until: what a process that died had
// claimed is another's then.
func (c *Control) ClaimSweep(ctx context.Context, now, until time.Time) (org string, err error) {
	err = c.s.w.do(ctx, "claim a sweep", func(t *txn) error {
		org = ""
		err := t.QueryRow("SELECT organization FROM cells WHERE sweep_at > 0 AND sweep_at <= ? AND state = ? ORDER BY sweep_at LIMIT 1",
			[]any{micros(now), CellActive}, &org)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil {
			_, _, err = t.Exec("UPDATE cells SET sweep_at = ? WHERE organization = ?", micros(until), org)
		}
		return err
	})
	return org, err
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
