package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/tenonhq/tenon/schema/audit"
)

// Control is the control database: what routes and admits, and nothing that a
// flow, an event or a connection holds (invariant 2).
type Control struct {
	s *side
}

// OpenControl opens the control database and migrates it. The URL is
// "sqlite:/absolute/path" or "postgres://…". A database that a newer binary
// migrated is refused with CodeConflict.
func OpenControl(ctx context.Context, url string) (*Control, error) {
	s, err := openSide(ctx, url, ChainControl, false, true)
	if err != nil {
		return nil, err
	}
	return &Control{s}, nil
}

// MigrateControl creates or upgrades the control database.
func MigrateControl(ctx context.Context, url string) error {
	c, err := OpenControl(ctx, url)
	if err != nil {
		return err
	}
	return c.Close()
}

// Close waits for what was accepted and closes the database.
func (c *Control) Close() error { return c.s.close() }

// Commits is how many transactions were committed, for measuring how well
// writes share them.
func (c *Control) Commits() int64 { return c.s.Commits() }

// Ping asks the database for a sign of life.
func (c *Control) Ping(ctx context.Context) error { return c.s.ping(ctx) }

// CreateOrganization adds an organization and its cell, which no host has
// claimed yet.
func (c *Control) CreateOrganization(ctx context.Context, o Organization, a AuditDraft) error {
	return c.s.w.do(ctx, "create the organization", func(t *txn) error {
		row := o
		if row.State == "" {
			row.State = OrganizationProvisioning
		}
		stamp(&row.CreatedAt, &row.UpdatedAt)
		if err := t.insert(&row); err != nil {
			return err
		}
		cell := CellRow{Organization: row.ID, State: row.State, UpdatedAt: row.UpdatedAt, LeaseUntil: time.Unix(0, 0).UTC()}
		if err := t.insert(&cell); err != nil {
			return err
		}
		t.audit(a.of(o.ID))
		return nil
	})
}

// GetOrganization finds an organization. What is left of a deleted one is not
// an organization.
func (c *Control) GetOrganization(ctx context.Context, id string) (Organization, error) {
	return one[Organization](ctx, c.s.Bun(), "organization", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("id = ? AND state <> ?", id, OrganizationDeleted)
	})
}

// ListOrganizations lists organizations by id, from the one after, without
// deleted ones.
func (c *Control) ListOrganizations(ctx context.Context, after string, max int) ([]Organization, error) {
	return many[Organization](ctx, c.s.Bun(), "organizations", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("id > ? AND state <> ?", after, OrganizationDeleted).Order("id").Limit(int64(limit(max)))
	})
}

// SetOrganizationState sets the state of an organization and of its cell. A
// deletion that has begun is not taken back: CodeNotFound.
func (c *Control) SetOrganizationState(ctx context.Context, id, state string, a AuditDraft) error {
	return c.s.w.do(ctx, "set the organization's state", func(t *txn) error {
		if err := t.setState(id, state); err != nil {
			return err
		}
		t.audit(a.of(id))
		return nil
	})
}

// ActivateOrganization opens an organization that is being provisioned. In any other
// state nothing changes, whenever it came into that: who asks late undoes nothing. The
// state is read under the writers' lock.
func (c *Control) ActivateOrganization(ctx context.Context, id string, a AuditDraft) error {
	return c.s.w.do(ctx, "activate the organization", func(t *txn) error {
		db, tctx := t.Read()
		o, err := one[Organization](tctx, db, "organization", func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("id = ?", id) })
		if err != nil || o.State != OrganizationProvisioning {
			return err
		}
		if err := t.setState(id, OrganizationActive); err != nil {
			return err
		}
		t.audit(a.of(id))
		return nil
	})
}

// PutRoute makes a webhook source known, with the organization it is of. A
// route never moves to another organization: CodeConflict.
func (c *Control) PutRoute(ctx context.Context, r Route, a AuditDraft) error {
	return c.s.w.do(ctx, "save the route", func(t *txn) error {
		row := r
		if err := t.insert(&row); err != nil {
			return err
		}
		t.audit(a.of(r.Organization))
		return nil
	})
}

// GetRoute finds the organization of a webhook source.
func (c *Control) GetRoute(ctx context.Context, source string) (Route, error) {
	return one[Route](ctx, c.s.Bun(), "route", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("source = ?", source)
	})
}

// DeleteRoute removes a webhook source of the organization.
func (c *Control) DeleteRoute(ctx context.Context, org, source string, a AuditDraft) error {
	return c.s.w.do(ctx, "delete the route", func(t *txn) error {
		err := t.change(func(db bun.IDB) query {
			return db.NewDelete().Model((*Route)(nil)).Where("source = ?", source).Where("organization = ?", org)
		})
		if err != nil {
			return err
		}
		t.audit(a.of(org))
		return nil
	})
}

// AppendAudit records an act that changes nothing else here.
func (c *Control) AppendAudit(ctx context.Context, a AuditDraft) error {
	return c.s.appendAudit(ctx, a)
}

// ListAudit lists entries of the chain, newest first unless the filter says otherwise.
func (c *Control) ListAudit(ctx context.Context, f AuditFilter) ([]audit.Entry, error) {
	return c.s.listAudit(ctx, f)
}

// AuditHead is the last entry of the chain.
func (c *Control) AuditHead(ctx context.Context) (audit.Head, error) { return c.s.auditHead(ctx) }

// VerifyAudit checks the whole chain; see [Door.VerifyAudit].
func (c *Control) VerifyAudit(ctx context.Context, known ...audit.Head) (audit.Head, error) {
	return c.s.verifyAudit(ctx, known...)
}
