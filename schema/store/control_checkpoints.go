package store

import (
	"context"
	"encoding/json"

	"github.com/uptrace/bun"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
)

// PutCheckpoint keeps a signed checkpoint. One with its number is there
// already: CodeConflict, and the caller must follow that one. It is bookkeeping
// and no act, so it is not audited.
func (c *Control) PutCheckpoint(ctx context.Context, p audit.Checkpoint) error {
	document, err := json.Marshal(p)
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "a checkpoint does not encode: %w", err)
	}
	return c.s.w.do(ctx, "keep the checkpoint", func(t *txn) error {
		return t.putCheckpoint(p, document)
	})
}

func (t *txn) putCheckpoint(p audit.Checkpoint, document []byte) error {
	const insert = "INSERT INTO checkpoints (organization, seq, document) VALUES (?, ?, ?)"
	_, _, err := t.Exec(insert, p.Organization, p.Sequence, string(document))
	return err
}

const selectCheckpoints = "SELECT document FROM checkpoints WHERE organization = ? "

func scanCheckpoint(row scanner) (audit.Checkpoint, error) {
	var document string
	var p audit.Checkpoint
	if err := row.Scan(&document); err != nil {
		return p, err
	}
	// What does not read verifies as what it is: a checkpoint that nobody signed.
	_ = json.Unmarshal([]byte(document), &p)
	return p, nil
}

// LastCheckpoint is the organization's newest, the control chain's with "";
// nil when there is none.
func (c *Control) LastCheckpoint(ctx context.Context, org string) (*audit.Checkpoint, error) {
	rows, err := c.s.Query(ctx, selectCheckpoints+"ORDER BY seq DESC LIMIT 1", org)
	found, err := collect("read the checkpoints", rows, err, scanCheckpoint)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// ListCheckpoints lists the organization's in their order, after a number.
func (c *Control) ListCheckpoints(ctx context.Context, org string, after int64, max int) ([]audit.Checkpoint, error) {
	rows, err := c.s.Query(ctx, selectCheckpoints+"AND seq > ? ORDER BY seq LIMIT ?", org, after, limit(max))
	return collect("read the checkpoints", rows, err, scanCheckpoint)
}

// HeldCells lists the organizations whose cells the host holds.
func (c *Control) HeldCells(ctx context.Context, host string) ([]string, error) {
	rows, err := many[CellRow](ctx, c.s.Bun(), "cells", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("host = ? AND state = ?", host, CellActive).Order("organization")
	})
	out := make([]string, len(rows))
	for i := range rows {
		out[i] = rows[i].Organization
	}
	return out, err
}
