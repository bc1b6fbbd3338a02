package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"
)

// The states of a rotation, in their order.
const (
	// RotationRequested: nothing has happened yet.
	RotationRequested = "requested"
	// RotationPrepared: the next key opens, and is being made known.
	RotationPrepared = "prepared"
	// RotationSwitched: the next key seals; what the former one sealed is being
	// sealed anew.
	RotationSwitched = "switched"
	// RotationDone: the former key is destroyed.
	RotationDone = "done"
)

// Rotation is the replacement of one kind of key of a cell.
type Rotation struct {
	ID           string `bun:",pk"`
	Organization string
	// Kind is a keystore.Kind.
	Kind  string
	State string
	// WaitsFor says, in words for an operator, why it does not go on.
	WaitsFor    string
	RequestedBy string
	RequestedAt time.Time
	UpdatedAt   time.Time
}

func (r *Rotation) utc() { inUTC(&r.RequestedAt, &r.UpdatedAt) }

// RequestRotation adds a rotation; CodeConflict when one is under way in the cell.
func (c *Control) RequestRotation(ctx context.Context, r Rotation, a AuditDraft) error {
	return c.s.w.do(ctx, "request the rotation", func(t *txn) error {
		row := r
		row.State = RotationRequested
		stamp(&row.RequestedAt, &row.UpdatedAt)
		if err := t.insert(&row); err != nil {
			return err
		}
		t.audit(a.of(r.Organization))
		return nil
	})
}

// AdvanceRotation moves a rotation on, from the one state to the other. In any
// other state nothing changes: an activity may be repeated.
func (c *Control) AdvanceRotation(ctx context.Context, id, from, to string, a AuditDraft) error {
	return c.s.w.do(ctx, "advance the rotation", func(t *txn) error {
		db, tctx := t.Read()
		row, err := one[Rotation](tctx, db, "rotation", func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("id = ?", id) })
		if err != nil || row.State != from {
			return err
		}
		err = t.change(func(db bun.IDB) query {
			return db.NewUpdate().Model((*Rotation)(nil)).Set("state = ?", to).Set("waits_for = ''").Set("updated_at = ?", now()).Where("id = ?", id)
		})
		if err != nil {
			return err
		}
		t.audit(a.of(row.Organization))
		return nil
	})
}

// RotationWaits says why a rotation does not go on. It is no act.
func (c *Control) RotationWaits(ctx context.Context, id, why string) error {
	return c.s.w.do(ctx, "say what the rotation waits for", func(t *txn) error {
		return t.change(func(db bun.IDB) query {
			return db.NewUpdate().Model((*Rotation)(nil)).Set("waits_for = ?", why).Where("id = ?", id)
		})
	})
}

// GetRotation finds a rotation.
func (c *Control) GetRotation(ctx context.Context, id string) (Rotation, error) {
	return one[Rotation](ctx, c.s.Bun(), "rotation", func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("id = ?", id) })
}

// OpenRotations lists the rotations that are under way.
func (c *Control) OpenRotations(ctx context.Context) ([]Rotation, error) {
	return many[Rotation](ctx, c.s.Bun(), "rotations", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("state <> ?", RotationDone).Order("id")
	})
}

// ListRotations lists an organization's rotations, newest first.
func (c *Control) ListRotations(ctx context.Context, org string, max int) ([]Rotation, error) {
	return many[Rotation](ctx, c.s.Bun(), "rotations", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("organization = ?", org).Order("id DESC").Limit(int64(limit(max)))
	})
}
