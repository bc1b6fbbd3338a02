package store

import (
	"context"
	"encoding/json"

	"github.com/uptrace/bun"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
)

// PutBack says that an active organization's databases are not those that were
// signed: nobody runs its cell until [Control.AcceptRestore]. Of an organization
// in another state it changes nothing.
func (c *Control) PutBack(ctx context.Context, org string, a AuditDraft) error {
	return c.s.w.do(ctx, "stop the organization whose databases were put back", func(t *txn) error {
		db, tctx := t.Read()
		o, err := one[Organization](tctx, db, "organization", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("id = ?", org)
		})
		if err != nil || o.State != OrganizationActive {
			return err
		}
		t.audit(a.of(org))
		return t.setState(org, OrganizationPutBack)
	})
}

// AcceptRestore keeps a checkpoint that accepts databases of an earlier time,
// and lets hosts run the organization's cell again. The control database's own
// has no organization. Another checkpoint with its number: CodeConflict.
func (c *Control) AcceptRestore(ctx context.Context, p audit.Checkpoint, a AuditDraft) error {
	document, err := json.Marshal(p)
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "a checkpoint does not encode: %w", err)
	}
	return c.s.w.do(ctx, "accept the restore", func(t *txn) error {
		if err := t.putCheckpoint(p, document); err != nil {
			return err
		}
		t.audit(a.of(p.Organization))
		if p.Organization == "" {
			// The timers of schedules are of that time, too: each door is looked through.
			_, _, err := t.Exec("UPDATE cells SET sweep_at = 1 WHERE state = ?", CellActive)
			return err
		}
		db, tctx := t.Read()
		o, err := one[Organization](tctx, db, "organization", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("id = ?", p.Organization)
		})
		if err != nil || o.State != OrganizationPutBack {
			return err
		}
		if err := t.setState(p.Organization, OrganizationActive); err != nil {
			return err
		}
		return t.change(func(db bun.IDB) query {
			return db.NewUpdate().Model((*CellRow)(nil)).Set("asleep = ?", false).
				// What the databases hold of schedules is another than what it was.
				Set("sweep_at = ?", 1).Where("organization = ?", p.Organization)
		})
	})
}
