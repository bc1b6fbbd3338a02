package store

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/tenonhq/tenon/schema"
)

// DeployFlow adds a version to the flow of that namespace and name, and the
// flow itself when there is none. The same digest as the latest version's adds
// nothing: created is then false.
//
// A document is sealed for its flow and version, so a caller that gives
// f.ID or v.Version gets CodeConflict when the flow has another id or the
// next version another number: somebody else deployed, and it must seal again.
func (d *Door) DeployFlow(ctx context.Context, f Flow, v FlowVersion, a AuditDraft) (flow Flow, version FlowVersion, created bool, err error) {
	err = d.s.w.do(ctx, "deploy the flow", func(t *txn) error {
		flow, version, created = f, v, false
		db, tctx := t.Read()
		found, err := one[Flow](tctx, db, "flow", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("namespace = ? AND name = ?", f.Namespace, f.Name)
		})
		switch {
		case schema.CodeOf(err) == schema.CodeNotFound:
			return t.firstVersion(&flow, &version, &created, a)
		case err != nil:
			return err
		}
		latest, err := one[FlowVersion](tctx, db, "flow version", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("flow = ? AND version = ?", found.ID, found.Latest)
		})
		if err != nil {
			return err
		}
		if latest.Digest == v.Digest {
			flow, version = found, latest
			return nil
		}
		if f.ID != "" && f.ID != found.ID {
			return schema.Errorf(schema.CodeConflict, "the flow was created by another deployment at the same time")
		}
		flow = found
		flow.Latest++
		flow.UpdatedAt = now()
		if err := t.addVersion(&flow, &version); err != nil {
			return err
		}
		err = t.change(func(db bun.IDB) query {
			return db.NewUpdate().Model(&flow).Column("latest", "updated_at").WherePK()
		})
		if err != nil {
			return err
		}
		created = true
		t.audit(targeted(a, flow.ID))
		return nil
	})
	return flow, version, created, err
}

func (t *txn) firstVersion(flow *Flow, version *FlowVersion, created *bool, a AuditDraft) error {
	if version.Version > 1 {
		return schema.Errorf(schema.CodeConflict, "the flow's next version is 1")
	}
	if flow.ID == "" {
		flow.ID = schema.NewID(schema.PrefixFlow)
	}
	if flow.State == "" {
		flow.State = FlowActive
	}
	flow.Latest = 1
	stamp(&flow.CreatedAt, &flow.UpdatedAt)
	if err := t.insert(flow); err != nil {
		return err
	}
	if err := t.addVersion(flow, version); err != nil {
		return err
	}
	*created = true
	t.audit(targeted(a, flow.ID))
	return nil
}

func (t *txn) addVersion(flow *Flow, version *FlowVersion) error {
	if version.Version != 0 && version.Version != flow.Latest {
		return schema.Errorf(schema.CodeConflict, "the flow's next version is %d", flow.Latest)
	}
	version.Flow, version.Version, version.Namespace = flow.ID, flow.Latest, flow.Namespace
	version.DocumentSealed = blob(version.DocumentSealed)
	stamp(&version.CreatedAt)
	return t.insert(version)
}

// targeted fills in a target that the caller could not know.
func targeted(a AuditDraft, id string) AuditDraft {
	if a.Target == "" {
		a.Target = id
	}
	return a
}

// GetFlow finds a flow of the namespace by id or name.
func (d *Door) GetFlow(ctx context.Context, namespace, idOrName string) (Flow, error) {
	return one[Flow](ctx, d.s.Bun(), "flow", func(q *bun.SelectQuery) *bun.SelectQuery {
		return byIDOrName(q.Where("namespace = ?", namespace), schema.PrefixFlow, idOrName)
	})
}

// ListFlows lists the flows of a namespace, newest first.
func (d *Door) ListFlows(ctx context.Context, namespace string) ([]Flow, error) {
	return many[Flow](ctx, d.s.Bun(), "flows", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("namespace = ?", namespace).Order("id DESC")
	})
}

// GetFlowVersion finds one version of a flow.
func (d *Door) GetFlowVersion(ctx context.Context, flow string, version int) (FlowVersion, error) {
	return one[FlowVersion](ctx, d.s.Bun(), "flow version", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("flow = ? AND version = ?", flow, version)
	})
}

// GetFlowVersionByDigest finds a version with the document of that digest.
// Several flows may have it: the documents are the same.
func (d *Door) GetFlowVersionByDigest(ctx context.Context, digest string) (FlowVersion, error) {
	return one[FlowVersion](ctx, d.s.Bun(), "flow version", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("digest = ?", digest).Order("flow", "version")
	})
}

// ListFlowVersions lists the versions of a flow, newest first.
func (d *Door) ListFlowVersions(ctx context.Context, flow string) ([]FlowVersion, error) {
	return many[FlowVersion](ctx, d.s.Bun(), "flow versions", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("flow = ?", flow).Order("version DESC")
	})
}
