package store

import (
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
)

// act is what many entries of a cell's chain have in common: the namespace, the action
// and, where the draft says so, the detail. An entry's hash is over all of it, wherever
// it is kept.
type act struct{ namespace, action, detail string }

func newActs(all *dictionaries) *dictionary[act] {
	return newDictionary(all, "SELECT act FROM acts WHERE namespace = ? AND action = ? AND detail_sealed = ?",
		"INSERT INTO acts (namespace, action, detail_sealed) VALUES (?, ?, ?)",
		func(a act) []any { return []any{a.namespace, a.action, []byte(a.detail)} })
}

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

// entryID is the id of an entry of a cell's chain, which it follows from: it is not
// kept. It says when the entry was committed, as any id of ours does.
func entryID(e audit.Entry) (string, error) {
	e.ID = ""
	return schema.DerivedID(schema.PrefixAudit, e.At, e.Digest())
}
