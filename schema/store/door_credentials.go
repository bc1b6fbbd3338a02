package store

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/tenonhq/tenon/schema"
)

// PutCredential adds the next version of a connection's credential and makes
// it the current one. Its number must be above the one entered last, else
// CodeConflict: the version is sealed into the credential, so a caller that
// lost a race must seal again. A gap is left where the cell knows of versions
// that this database has not.
//
// Version keep, when it still has its ciphertext, stays as the previous one
// until the new one is proven; every other one is destroyed. The command tells
// the cell, in the same transaction.
func (d *Door) PutCredential(ctx context.Context, c Credential, keep int, told Command, a AuditDraft) error {
	return d.s.w.do(ctx, "save the credential", func(t *txn) error {
		db, tctx := t.Read()
		conn, err := one[Connection](tctx, db, "connection", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("id = ? AND state <> ?", c.Connection, ConnectionDeleted)
		})
		if err != nil {
			return err
		}
		if c.Version <= conn.CredentialVersion {
			return schema.Errorf(schema.CodeConflict, "the credential's version must be above %d", conn.CredentialVersion)
		}
		if err := t.refuseRetired(c.SealedTo); err != nil {
			return err
		}
		row := c
		row.Sealed = blob(row.Sealed)
		row.State = CredentialCurrent
		stamp(&row.CreatedAt)
		if _, err := t.end(c.Connection, CredentialReplaced, "version <> ?", keep); err != nil {
			return err
		}
		wdb, tctx := t.Write()
		_, err = wdb.NewUpdate().Model((*Credential)(nil)).Set("state = ?", CredentialPrevious).
			Where("connection = ? AND state = ?", c.Connection, CredentialCurrent).Exec(tctx)
		if err != nil {
			t.Failed = true
			return err
		}
		if err := t.insert(&row); err != nil {
			return err
		}
		err = t.change(func(db bun.IDB) query {
			return db.NewUpdate().Model((*Connection)(nil)).Set("credential_version = ?", c.Version).Set("updated_at = ?", row.CreatedAt).
				Where("id = ?", c.Connection)
		})
		if err != nil {
			return err
		}
		if err := t.command(told); err != nil {
			return err
		}
		t.audit(a)
		return nil
	})
}

// end destroys the ciphertext of those versions of a connection's credential
// that have one still and that the condition finds.
func (t *txn) end(connection, state, condition string, args ...any) (ended bool, err error) {
	wdb, tctx := t.Write()
	res, err := wdb.NewUpdate().Model((*Credential)(nil)).Set("state = ?", state).Set("sealed = ?", []byte{}).
		Where("connection = ? AND state IN (?, ?)", connection, CredentialCurrent, CredentialPrevious).
		Where(condition, args...).Exec(tctx)
	if err != nil {
		t.Failed = true
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// GetCredential finds a version of a connection's credential, sealed.
func (d *Door) GetCredential(ctx context.Context, connection string, version int) (Credential, error) {
	return one[Credential](ctx, d.s.Bun(), "credential", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("connection = ? AND version = ?", connection, version)
	})
}

// LiveCredentials are the versions of a connection's credential that have
// their ciphertext still, newest first: none after it was revoked, and two
// while a new one is not proven.
func (d *Door) LiveCredentials(ctx context.Context, connection string) ([]Credential, error) {
	return d.credentials.get(ctx, connection, func(ctx context.Context) ([]Credential, error) {
		rows, err := d.s.Query(ctx, selectLive, connection)
		return collect("list the credentials", rows, err, scanCredential)
	})
}

const selectLive = `SELECT id, connection, version, sealed, state, created_by, created_at, rotate_by FROM credentials
WHERE connection = ? AND state IN ('` + CredentialCurrent + `', '` + CredentialPrevious + `') ORDER BY version DESC`

func scanCredential(row scanner) (Credential, error) {
	var c Credential
	err := row.Scan(&c.ID, &c.Connection, &c.Version, &c.Sealed, &c.State, &c.CreatedBy, &c.CreatedAt, &c.RotateBy)
	c.utc()
	return c, err
}

// LatestCredentials are the versions entered last, one for each connection of
// the namespace that ever had one, whatever their state. An empty namespace
// means all of them.
func (d *Door) LatestCredentials(ctx context.Context, namespace string) ([]Credential, error) {
	return many[Credential](ctx, d.s.Bun(), "credentials", func(q *bun.SelectQuery) *bun.SelectQuery {
		q = q.Join("JOIN connections AS c ON c.id = credential.connection AND c.credential_version = credential.version").
			Where("c.state <> ?", ConnectionDeleted).Order("c.id DESC")
		if namespace != "" {
			q = q.Where("c.namespace = ?", namespace)
		}
		return q
	})
}

// Rotating are the connections that have a previous version still.
func (d *Door) Rotating(ctx context.Context) ([]Connection, error) {
	return many[Connection](ctx, d.s.Bun(), "connections", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("id IN (SELECT connection FROM credentials WHERE state = ?)", CredentialPrevious)
	})
}

// DestroyReplaced destroys the versions before the given one, which was proven.
// It reports whether there were any; if not, nothing is written.
func (d *Door) DestroyReplaced(ctx context.Context, connection string, proven int, a AuditDraft) (bool, error) {
	var ended bool
	err := d.s.w.do(ctx, "destroy the credential before", func(t *txn) (err error) {
		ended, err = t.end(connection, CredentialReplaced, "version < ?", proven)
		if ended {
			t.audit(a)
		}
		return err
	})
	return ended, err
}

// Revocation ends every version of one connection's credential.
type Revocation struct {
	Connection string
	// Told tells the cell.
	Told  Command
	Audit AuditDraft
}

// RevokeCredentials ends credentials at once, in one transaction: their
// ciphertext is destroyed. One without ciphertext is passed over.
func (d *Door) RevokeCredentials(ctx context.Context, all ...Revocation) error {
	return d.s.w.do(ctx, "revoke the credentials", func(t *txn) error {
		for _, r := range all {
			ended, err := t.end(r.Connection, CredentialRevoked, "version > ?", 0)
			if err != nil {
				return err
			}
			if !ended {
				continue
			}
			if err := t.command(r.Told); err != nil {
				return err
			}
			t.audit(r.Audit)
		}
		return nil
	})
}
