package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"
)

// CreateKey adds an API key.
func (c *Control) CreateKey(ctx context.Context, k Key, a AuditDraft) error {
	return c.s.w.do(ctx, "create the key", func(t *txn) error {
		row := k
		row.Hash = blob(row.Hash)
		if row.Permissions == nil {
			row.Permissions = []string{}
		}
		stamp(&row.CreatedAt)
		if err := t.insert(&row); err != nil {
			return err
		}
		t.audit(a.of(k.Organization))
		return nil
	})
}

// GetKey finds a key, whatever became of it.
func (c *Control) GetKey(ctx context.Context, id string) (Key, error) {
	return one[Key](ctx, c.s.Bun(), "key", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("id = ?", id)
	})
}

// ListKeys lists the keys of an organization, or of the platform with "".
func (c *Control) ListKeys(ctx context.Context, org string) ([]Key, error) {
	return many[Key](ctx, c.s.Bun(), "keys", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("organization = ?", org).Order("id DESC")
	})
}

// RevokeKey ends a key of the organization. Revoking it again keeps the time
// of the first.
func (c *Control) RevokeKey(ctx context.Context, org, id string, at time.Time, a AuditDraft) error {
	return c.s.w.do(ctx, "revoke the key", func(t *txn) error {
		err := t.change(func(db bun.IDB) query {
			return db.NewUpdate().Model((*Key)(nil)).Set("revoked_at = COALESCE(revoked_at, ?)", at.UTC()).
				Where("id = ?", id).Where("organization = ?", org)
		})
		if err != nil {
			return err
		}
		t.audit(a.of(org))
		return nil
	})
}

// TouchKey notes when a key was last used. It is no act of its own, so it is
// not audited.
func (c *Control) TouchKey(ctx context.Context, id string, at time.Time) error {
	return c.s.w.do(ctx, "note the key's use", func(t *txn) error {
		return t.change(func(db bun.IDB) query {
			return db.NewUpdate().Model((*Key)(nil)).Set("last_used_at = ?", at.UTC()).Where("id = ?", id)
		})
	})
}
