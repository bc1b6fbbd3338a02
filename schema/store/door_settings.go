package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"
)

// Setting is what the organization has set for itself.
type Setting struct {
	Name      string `bun:",pk"`
	Value     string
	UpdatedBy string
	UpdatedAt time.Time
}

func (s *Setting) utc() { inUTC(&s.UpdatedAt) }

// ListSettings lists what was ever set, by name.
func (d *Door) ListSettings(ctx context.Context) ([]Setting, error) {
	return many[Setting](ctx, d.s.Bun(), "settings", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Order("name")
	})
}

// PutSetting sets it.
func (d *Door) PutSetting(ctx context.Context, s Setting, a AuditDraft) error {
	return d.s.w.do(ctx, "set the setting", func(t *txn) error {
		row := s
		stamp(&row.UpdatedAt)
		db, tctx := t.Write()
		_, err := db.NewInsert().Model(&row).On("CONFLICT (name) DO UPDATE").
			Set("value = EXCLUDED.value").Set("updated_by = EXCLUDED.updated_by").Set("updated_at = EXCLUDED.updated_at").Exec(tctx)
		if err != nil {
			t.Failed = true
			return err
		}
		t.audit(a)
		return nil
	})
}
