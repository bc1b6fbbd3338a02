package store

import (
	"context"
	"strings"

	"github.com/uptrace/bun"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store/internal/database"
)

// Door is the side of a cell that the API writes: configuration, events,
// commands. Every method that writes fails with CodeForbidden when the cell
// was opened for the other side.
type Door struct {
	s *side

	intakes     intakes
	connections reads[Connection]
	credentials reads[[]Credential]
}

// Commits is how many transactions were committed, for measuring how well
// writes share them.
func (d *Door) Commits() int64 { return d.s.Commits() }

// AppendAudit records an act that changes nothing else here.
func (d *Door) AppendAudit(ctx context.Context, a AuditDraft) error { return d.s.appendAudit(ctx, a) }

// ListAudit lists entries of the door's chain, newest first unless the filter says otherwise.
func (d *Door) ListAudit(ctx context.Context, f AuditFilter) ([]audit.Entry, error) {
	return d.s.listAudit(ctx, f)
}

// AuditHead is the last entry of the door's chain.
func (d *Door) AuditHead(ctx context.Context) (audit.Head, error) { return d.s.auditHead(ctx) }

// VerifyAudit reads the whole chain, checks it and returns its head. It fails
// with the number of the first entry that does not fit, or when one of the
// known heads is not in the chain.
func (d *Door) VerifyAudit(ctx context.Context, known ...audit.Head) (audit.Head, error) {
	return d.s.verifyAudit(ctx, known...)
}

// CreateNamespace adds a namespace; its name is unique in the cell.
func (d *Door) CreateNamespace(ctx context.Context, n Namespace, a AuditDraft) error {
	return d.s.w.do(ctx, "create the namespace", func(t *txn) error {
		row := n
		stamp(&row.CreatedAt)
		if err := t.insert(&row); err != nil {
			return err
		}
		t.audit(a)
		return nil
	})
}

// GetNamespace finds a namespace by id or name.
func (d *Door) GetNamespace(ctx context.Context, idOrName string) (Namespace, error) {
	return one[Namespace](ctx, d.s.Bun(), "namespace", func(q *bun.SelectQuery) *bun.SelectQuery {
		return byIDOrName(q, schema.PrefixNamespace, idOrName)
	})
}

// ListNamespaces lists all namespaces by name.
func (d *Door) ListNamespaces(ctx context.Context) ([]Namespace, error) {
	return many[Namespace](ctx, d.s.Bun(), "namespaces", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Order("name")
	})
}

// byIDOrName looks for an id in what looks like one, else for a name: a name
// that looks like another row's id cannot stand in for it.
func byIDOrName(q *bun.SelectQuery, p schema.Prefix, idOrName string) *bun.SelectQuery {
	if strings.HasPrefix(idOrName, string(p)+"_") && schema.CheckID(p, idOrName) == nil {
		return q.Where("id = ?", idOrName)
	}
	return q.Where("name = ?", idOrName)
}

// CreateSource adds a source of events for a flow. One without a verifier
// cannot exist (invariant 5).
func (d *Door) CreateSource(ctx context.Context, s Source, a AuditDraft) error {
	if s.Verifier == "" {
		return schema.Errorf(schema.CodeInvalid, "a source needs a verifier").At("/verifier")
	}
	return d.s.w.do(ctx, "create the source", func(t *txn) error {
		row := s
		if row.State == "" {
			row.State = SourceActive
		}
		row.ConfigSealed = blob(row.ConfigSealed)
		stamp(&row.CreatedAt, &row.UpdatedAt)
		if err := t.insert(&row); err != nil {
			return err
		}
		t.audit(a)
		return nil
	})
}

// GetSource finds a source by id, of any namespace.
func (d *Door) GetSource(ctx context.Context, id string) (Source, error) {
	return one[Source](ctx, d.s.Bun(), "source", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("id = ?", id)
	})
}

// ListSources lists the webhook sources of a namespace, newest first, without
// deleted ones.
func (d *Door) ListSources(ctx context.Context, namespace string) ([]Source, error) {
	return many[Source](ctx, d.s.Bun(), "sources", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("namespace = ? AND state <> ? AND verifier <> ?", namespace, SourceDeleted, VerifierClock).Order("id DESC")
	})
}

// ListSchedules lists the schedules of a namespace, newest first, without deleted
// ones.
func (d *Door) ListSchedules(ctx context.Context, namespace string, p Page) ([]Source, error) {
	return many[Source](ctx, d.s.Bun(), "schedules", func(q *bun.SelectQuery) *bun.SelectQuery {
		if p.After != "" {
			q = q.Where("id < ?", p.After)
		}
		return q.Where("namespace = ? AND state <> ? AND verifier = ?", namespace, SourceDeleted, VerifierClock).
			Order("id DESC").Limit(int64(limit(p.Limit)))
	})
}

// Schedules lists the schedules of all namespaces that are active, without what
// they do.
func (d *Door) Schedules(ctx context.Context) ([]Source, error) {
	return many[Source](ctx, d.s.Bun(), "schedules", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.ExcludeColumn("config_sealed").Where("state = ? AND verifier = ?", SourceActive, VerifierClock)
	})
}

// CountSchedules counts the schedules of a namespace.
func (d *Door) CountSchedules(ctx context.Context, namespace string) (int64, error) {
	n, err := d.s.Bun().NewSelect().Model((*Source)(nil)).
		Where("namespace = ? AND state <> ? AND verifier = ?", namespace, SourceDeleted, VerifierClock).Count(ctx)
	return n, database.Error("count the schedules", err)
}

// SetSourceState sets a source's state.
func (d *Door) SetSourceState(ctx context.Context, namespace, id, state string, a AuditDraft) error {
	return d.s.w.do(ctx, "set the source's state", func(t *txn) error {
		err := t.change(func(db bun.IDB) query {
			return db.NewUpdate().Model((*Source)(nil)).Set("state = ?", state).Set("updated_at = ?", now()).
				Where("id = ? AND namespace = ?", id, namespace)
		})
		if err != nil {
			return err
		}
		t.audit(a)
		return nil
	})
}

// ChangeSource replaces the sealed description of a source, and its state; was is
// the source as it was read. CodeConflict means that it was changed since.
func (d *Door) ChangeSource(ctx context.Context, was, to Source, a AuditDraft) error {
	stamp(&to.UpdatedAt)
	return d.s.w.do(ctx, "change the source", func(t *txn) error {
		n, _, err := t.Exec("UPDATE sources SET config_sealed = ?, state = ?, updated_at = ? WHERE id = ? AND config_sealed = ? AND state = ?",
			blob(to.ConfigSealed), to.State, to.UpdatedAt, was.ID, blob(was.ConfigSealed), was.State)
		if err != nil {
			return err
		}
		if n == 0 {
			return schema.Errorf(schema.CodeConflict, "the source was changed by somebody else in the meantime").
				Advise("Read it again, and try again.")
		}
		t.audit(a)
		return nil
	})
}
