package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"
)

// AlertTarget is where the alerts of a namespace are sent.
type AlertTarget struct {
	Namespace string `bun:",pk"`
	// ConfigSealed is a config.AlertTarget.
	ConfigSealed []byte
	UpdatedAt    time.Time
}

func (a *AlertTarget) utc() { inUTC(&a.UpdatedAt) }

// GetAlertTarget finds where the alerts of a namespace are sent; CodeNotFound for
// nowhere.
func (d *Door) GetAlertTarget(ctx context.Context, namespace string) (AlertTarget, error) {
	return one[AlertTarget](ctx, d.s.Bun(), "target of alerts", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("namespace = ?", namespace)
	})
}

// PutAlertTarget sets where the alerts of a namespace are sent.
func (d *Door) PutAlertTarget(ctx context.Context, target AlertTarget, a AuditDraft) error {
	return d.s.w.do(ctx, "set the target of alerts", func(t *txn) error {
		row := target
		row.ConfigSealed = blob(row.ConfigSealed)
		stamp(&row.UpdatedAt)
		db, tctx := t.Write()
		_, err := db.NewInsert().Model(&row).On("CONFLICT (namespace) DO UPDATE").
			Set("config_sealed = EXCLUDED.config_sealed").Set("updated_at = EXCLUDED.updated_at").Exec(tctx)
		if err != nil {
			t.Failed = true
			return err
		}
		t.audit(a)
		return nil
	})
}

// DeleteAlertTarget has the alerts of a namespace sent nowhere.
func (d *Door) DeleteAlertTarget(ctx context.Context, namespace string, a AuditDraft) error {
	return d.s.w.do(ctx, "delete the target of alerts", func(t *txn) error {
		err := t.change(func(db bun.IDB) query {
			return db.NewDelete().Model((*AlertTarget)(nil)).Where("namespace = ?", namespace)
		})
		if err != nil {
			return err
		}
		t.audit(a)
		return nil
	})
}
