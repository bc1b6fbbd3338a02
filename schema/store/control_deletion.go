package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/tenonhq/tenon/schema"
)

// BeginDeletion shuts the organization for good: its state is deleting, its
// keys and routes are gone, and nothing leads to its cell any more. Asked again
// it changes nothing. An organization that was never there, or is deleted
// already, is CodeNotFound.
func (c *Control) BeginDeletion(ctx context.Context, org string, a AuditDraft) error {
	return c.s.w.do(ctx, "begin the organization's deletion", func(t *txn) error {
		db, tctx := t.Read()
		o, err := one[Organization](tctx, db, "organization", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("id = ? AND state <> ?", org, OrganizationDeleted)
		})
		if err != nil || o.State == OrganizationDeleting {
			return err
		}
		if err := t.setState(org, OrganizationDeleting); err != nil {
			return err
		}
		// A cell that sleeps is deleted like any other.
		err = t.change(func(db bun.IDB) query {
			return db.NewUpdate().Model((*CellRow)(nil)).Set("asleep = ?", false).Where("organization = ?", org)
		})
		if err != nil {
			return err
		}
		if err := t.remove(org); err != nil {
			return err
		}
		t.audit(a.of(org))
		return nil
	})
}

// DeletingOrganizations lists the organizations whose deletion has begun and
// not ended.
func (c *Control) DeletingOrganizations(ctx context.Context) ([]string, error) {
	rows, err := many[Organization](ctx, c.s.Bun(), "organizations", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("state = ?", OrganizationDeleting).Order("id")
	})
	out := make([]string, 0, len(rows))
	for _, row := range rows {
		out = append(out, row.ID)
	}
	return out, err
}

// DeletedOrganizations lists the organizations of which a tombstone is left
// since then.
func (c *Control) DeletedOrganizations(ctx context.Context, since time.Time) ([]string, error) {
	rows, err := many[Organization](ctx, c.s.Bun(), "organizations", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("state = ? AND updated_at >= ?", OrganizationDeleted, since.UTC()).Order("id")
	})
	out := make([]string, 0, len(rows))
	for _, row := range rows {
		out = append(out, row.ID)
	}
	return out, err
}

// Deleted tells whether a tombstone is all that is left of the organization.
func (c *Control) Deleted(ctx context.Context, org string) (bool, error) {
	_, err := one[Organization](ctx, c.s.Bun(), "organization", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("id = ? AND state = ?", org, OrganizationDeleted)
	})
	if schema.CodeOf(err) == schema.CodeNotFound {
		return false, nil
	}
	return err == nil, err
}

// EndDeletion leaves of an organization its id, and its acts in the audit log:
// the cell's row goes, and the name. Only an organization whose deletion has
// begun can be ended, else CodeConflict; one that is deleted stays so.
func (c *Control) EndDeletion(ctx context.Context, org string, a AuditDraft) error {
	return c.s.w.do(ctx, "end the organization's deletion", func(t *txn) error {
		db, tctx := t.Read()
		o, err := one[Organization](tctx, db, "organization", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("id = ?", org)
		})
		switch {
		case err != nil:
			return err
		case o.State == OrganizationDeleted:
			return nil
		case o.State != OrganizationDeleting:
			return schema.Errorf(schema.CodeConflict, "the organization is not being deleted")
		}
		if err := t.remove(org); err != nil {
			return err
		}
		wdb, tctx := t.Write()
		if _, err := wdb.NewDelete().Model((*CellRow)(nil)).Where("organization = ?", org).Exec(tctx); err != nil {
			t.Failed = true
			return err
		}
		err = t.change(func(db bun.IDB) query {
			return db.NewUpdate().Model((*Organization)(nil)).Set("state = ?", OrganizationDeleted).Set("name = ''").
				Set("tokens_not_before = NULL").Set("updated_at = ?", now()).Where("id = ?", org)
		})
		if err != nil {
			return err
		}
		t.audit(a.of(org))
		return nil
	})
}

// setState sets the state of an organization and of its cell, unless its
// deletion has begun: who read the state before that must not undo it.
func (t *txn) setState(org, state string) error {
	at := now()
	err := t.change(func(db bun.IDB) query {
		return db.NewUpdate().Model((*Organization)(nil)).Set("state = ?", state).Set("updated_at = ?", at).
			Where("id = ? AND state NOT IN (?, ?)", org, OrganizationDeleting, OrganizationDeleted)
	})
	if err != nil {
		return err
	}
	return t.change(func(db bun.IDB) query {
		return db.NewUpdate().Model((*CellRow)(nil)).Set("state = ?", state).Set("updated_at = ?", at).Where("organization = ?", org)
	})
}

// remove takes away what leads to the organization: its keys, its routes and the
// timers of its schedules.
func (t *txn) remove(org string) error {
	db, ctx := t.Write()
	for _, model := range []any{(*Key)(nil), (*Route)(nil)} {
		if _, err := db.NewDelete().Model(model).Where("organization = ?", org).Exec(ctx); err != nil {
			t.Failed = true
			return err
		}
	}
	_, _, err := t.Exec("DELETE FROM timers WHERE organization = ?", org)
	return err
}
