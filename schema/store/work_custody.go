package store

import (
	"context"
	"time"
)

// Custody is what the cell knows of one connection's credential.
type Custody struct {
	Connection string
	Namespace  string
	// UsedAt is when the credential was opened last, to within the pause
	// between two writes; nil when it never was.
	UsedAt *time.Time
	// RecordSealed is a config.Custody; empty for none.
	RecordSealed []byte
	// Alerts are raised when it is written, and not kept here.
	Alerts []Alert
}

// CredentialUse says when a connection's credential was opened.
type CredentialUse struct {
	Connection, Namespace string
	At                    time.Time
}

const (
	selectCustody = "SELECT connection, namespace, used_at, record_sealed FROM custody "
	putCustody    = `INSERT INTO custody (connection, namespace, used_at, record_sealed) VALUES (?, ?, 0, ?)
ON CONFLICT (connection) DO UPDATE SET record_sealed = excluded.record_sealed`
	touchCustody = `INSERT INTO custody (connection, namespace, used_at, record_sealed) VALUES (?, ?, ?, ?)
ON CONFLICT (connection) DO UPDATE SET used_at = excluded.used_at WHERE excluded.used_at > custody.used_at`
)

func scanCustody(row scanner) (Custody, error) {
	var c Custody
	var used int64
	err := row.Scan(&c.Connection, &c.Namespace, &used, &c.RecordSealed)
	c.UsedAt, c.RecordSealed = fromMicrosAt(used), some(c.RecordSealed)
	return c, err
}

// GetCustody finds what is known of a connection's credential.
func (w *Work) GetCustody(ctx context.Context, connection string) (Custody, error) {
	rows, err := w.s.Query(ctx, selectCustody+"WHERE connection = ?", connection)
	return single("find what is known of the credential", rows, err, scanCustody)
}

// ListCustody lists what is known of the credentials of a namespace; of all
// when it is empty.
func (w *Work) ListCustody(ctx context.Context, namespace string) ([]Custody, error) {
	const doing = "list what is known of the credentials"
	if namespace == "" {
		rows, err := w.s.Query(ctx, selectCustody)
		return collect(doing, rows, err, scanCustody)
	}
	rows, err := w.s.Query(ctx, selectCustody+"WHERE namespace = ?", namespace)
	return collect(doing, rows, err, scanCustody)
}

// PutCustody writes what is known, but not when it was used, with its audit
// entries.
func (w *Work) PutCustody(ctx context.Context, c Custody, audit ...AuditDraft) error {
	return w.s.w.do(ctx, "write what is known of the credential", func(t *txn) error {
		if _, _, err := t.Exec(putCustody, c.Connection, c.Namespace, blob(c.RecordSealed)); err != nil {
			return err
		}
		t.audit(audit...)
		return t.alert(c.Alerts...)
	})
}

// ApplyCustody is [Work.PutCustody] for a command; the cursor of commands moves
// to seq in the same transaction. A command at or before it changes nothing.
func (w *Work) ApplyCustody(ctx context.Context, seq int64, c Custody, audit ...AuditDraft) error {
	return w.s.w.do(ctx, "apply the command", func(t *txn) error {
		passed, err := t.passed(seq)
		if err != nil || passed {
			return err
		}
		if _, _, err := t.Exec(putCustody, c.Connection, c.Namespace, blob(c.RecordSealed)); err != nil {
			return err
		}
		t.audit(audit...)
		if err := t.alert(c.Alerts...); err != nil {
			return err
		}
		return t.advance(CursorCommands, seq)
	})
}

// TouchCredentials writes when credentials were used, in one transaction. Each
// use is in the audit log already, so this is not.
func (w *Work) TouchCredentials(ctx context.Context, uses []CredentialUse) error {
	return w.s.w.do(ctx, "write when the credentials were used", func(t *txn) error {
		for _, u := range uses {
			if _, _, err := t.Exec(touchCustody, u.Connection, u.Namespace, micros(u.At), []byte{}); err != nil {
				return err
			}
		}
		return nil
	})
}
