package store

import (
	"context"
	"crypto/sha256"

	"github.com/uptrace/bun"
)

// Resealed is a credential that the cell sealed anew to the pair that follows.
type Resealed struct {
	Connection string
	Version    int
	// Replaces is SHA-256 of the ciphertext that it was made from.
	Replaces []byte
	Sealed   []byte
}

// EachCredential visits the versions of credentials that have a ciphertext.
func (d *Door) EachCredential(ctx context.Context, visit func(Credential) error) error {
	after := ""
	for {
		page, err := many[Credential](ctx, d.s.Bun(), "credentials", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("id > ?", after).Where("length(sealed) > 0").Order("id").Limit(resealBatch)
		})
		if err != nil || len(page) == 0 {
			return err
		}
		for _, c := range page {
			if err := visit(c); err != nil {
				return err
			}
		}
		after = page[len(page)-1].ID
	}
}

// ReplaceCredential takes over what the cell sealed anew. Nothing but the
// ciphertext changes, and only if it is still the one that was sealed anew.
func (d *Door) ReplaceCredential(ctx context.Context, r Resealed) error {
	return d.s.w.do(ctx, "take over the credential", func(t *txn) error {
		db, tctx := t.Read()
		row, err := one[Credential](tctx, db, "credential", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("connection = ? AND version = ?", r.Connection, r.Version)
		})
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(row.Sealed); string(sum[:]) != string(r.Replaces) {
			return nil
		}
		return t.change(func(db bun.IDB) query {
			return db.NewUpdate().Model((*Credential)(nil)).Set("sealed = ?", r.Sealed).Where("id = ?", row.ID)
		})
	})
}

// PutResealed leaves a credential for the API to take over.
func (w *Work) PutResealed(ctx context.Context, r Resealed) error {
	return w.s.w.do(ctx, "leave the credential that was sealed anew", func(t *txn) error {
		_, _, err := t.Exec(`INSERT INTO resealed (connection, version, replaces, credential_sealed) VALUES (?, ?, ?, ?)
ON CONFLICT (connection, version) DO UPDATE SET replaces = excluded.replaces, credential_sealed = excluded.credential_sealed`,
			r.Connection, int64(r.Version), r.Replaces, r.Sealed)
		return err
	})
}

// ListResealed lists what the API has to take over.
func (w *Work) ListResealed(ctx context.Context) ([]Resealed, error) {
	rows, err := w.s.Query(ctx, "SELECT connection, version, replaces, credential_sealed FROM resealed ORDER BY connection, version")
	return collect("list the credentials that were sealed anew", rows, err, func(row scanner) (Resealed, error) {
		var r Resealed
		return r, row.Scan(&r.Connection, &r.Version, &r.Replaces, &r.Sealed)
	})
}

// DropResealed removes what the API has taken over, or needs not.
func (w *Work) DropResealed(ctx context.Context) error {
	return w.s.w.do(ctx, "drop what was taken over", func(t *txn) error {
		_, _, err := t.Exec("DELETE FROM resealed")
		return err
	})
}
