package store

import (
	"database/sql"
	"errors"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
)

// act is what many entries of a cell's chain have in common, and is kept once: the
// namespace, the action and, where the draft says so, the detail. An entry's hash is
// over all of it, wherever it is kept.
type act struct{ namespace, action, detail string }

// mostActs bounds how many acts a process remembers the numbers of.
const mostActs = 4096

func (d AuditDraft) act() act {
	a := act{namespace: d.Namespace, action: d.Action}
	if d.DetailShared {
		a.detail = string(d.DetailSealed)
	}
	return a
}

// own is the detail that an entry keeps itself.
func (d AuditDraft) own() []byte {
	if d.DetailShared {
		return nil
	}
	return d.DetailSealed
}

// numberOf is the number of an act, which is added if the chain has none such.
func (w *writer) numberOf(t *txn, a act) (int64, error) {
	if n, known := w.acts[a]; known {
		return n, nil
	}
	if n, known := t.acts[a]; known {
		return n, nil
	}
	const (
		find = "SELECT act FROM acts WHERE namespace = ? AND action = ? AND detail_sealed = ?"
		add  = "INSERT INTO acts (namespace, action, detail_sealed) VALUES (?, ?, ?)"
	)
	args := []any{a.namespace, a.action, []byte(a.detail)}
	var n int64
	err := t.QueryRow(find, args, &n)
	if errors.Is(err, sql.ErrNoRows) {
		if _, _, err = t.Exec(add, args...); err == nil {
			err = t.QueryRow(find, args, &n)
		}
	}
	if err != nil {
		return 0, err
	}
	if t.acts == nil {
		t.acts = make(map[act]int64)
	}
	t.acts[a] = n
	return n, nil
}

// learn remembers the acts of a transaction that was committed.
func (w *writer) learn(t *txn) {
	if w.acts == nil || len(w.acts)+len(t.acts) > mostActs {
		w.acts = make(map[act]int64)
	}
	for a, n := range t.acts {
		w.acts[a] = n
	}
}

// entryID is the id of an entry of a cell's chain, which it follows from: it is not
// kept. It says when the entry was committed, as any id of ours does.
func entryID(e audit.Entry) (string, error) {
	e.ID = ""
	return schema.DerivedID(schema.PrefixAudit, e.At, e.Digest())
}
