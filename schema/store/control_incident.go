package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"
)

// RevokeAccess ends every API key of the organization and every operator's
// token that was made by then, in one transaction, and returns the keys that
// it ended. Asked again it ends what was made since.
func (c *Control) RevokeAccess(ctx context.Context, org string, at time.Time, a AuditDraft) (revoked []string, err error) {
	err = c.s.w.do(ctx, "revoke the organization's access", func(t *txn) error {
		revoked = nil
		db, tctx := t.Read()
		keys, err := many[Key](tctx, db, "keys", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("organization = ? AND revoked_at IS NULL", org).Order("id")
		})
		if err != nil {
			return err
		}
		err = t.change(func(db bun.IDB) query {
			return db.NewUpdate().Model((*Organization)(nil)).Set("tokens_not_before = ?", at.UTC()).Where("id = ?", org)
		})
		if err != nil {
			return err
		}
		for _, k := range keys {
			revoked = append(revoked, k.ID)
			t.audit(AuditDraft{Actor: a.Actor, Action: "key.revoke", Target: k.ID, Namespace: k.Namespace, Organization: org})
		}
		if len(keys) > 0 {
			err := t.change(func(db bun.IDB) query {
				return db.NewUpdate().Model((*Key)(nil)).Set("revoked_at = ?", at.UTC()).Where("organization = ? AND revoked_at IS NULL", org)
			})
			if err != nil {
				return err
			}
		}
		t.audit(a.of(org))
		return nil
	})
	return revoked, err
}

// RevokedTokens lists the organizations whose operators' tokens were revoked
// after since, with when.
func (c *Control) RevokedTokens(ctx context.Context, since time.Time) (map[string]time.Time, error) {
	rows, err := many[Organization](ctx, c.s.Bun(), "revocations", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("tokens_not_before > ?", since.UTC())
	})
	if err != nil {
		return nil, err
	}
	out := make(map[string]time.Time, len(rows))
	for _, row := range rows {
		out[row.ID] = *row.TokensNotBefore
	}
	return out, nil
}
