package store

import (
	"time"

	"github.com/tenonhq/tenon/schema/audit"
)

// The chains of the audit log: one for each writing side.
const (
	ChainControl = "control"
	ChainDoor    = "door"
	ChainWork    = "work"
)

// AuditDraft is what a caller says about an act. The committer adds the rest.
type AuditDraft struct {
	// Actor is who: the id of a key, a run, or "system".
	Actor string
	// Action is what, such as "connection.create".
	Action string
	// Target is the id of what it was done to.
	Target    string
	Namespace string
	// Organization is whom an act on the control database concerns; a cell's
	// chains leave it empty.
	Organization string
	// DetailSealed is ciphertext under a key of the organization (invariant 3).
	// Where an act concerns none it is JSON: the control database has no key.
	DetailSealed []byte
	// DetailShared: the very same ciphertext goes with many entries of the chain,
	// and is kept once for all of them. The control chain keeps it with each.
	DetailShared bool
}

// of says whom a control act concerns.
func (a AuditDraft) of(organization string) AuditDraft {
	a.Organization = organization
	return a
}

// AuditFilter asks for entries of one chain; empty fields match all.
type AuditFilter struct {
	Namespace    string
	Organization string
	Actor        string
	Action       string
	Target       string
	// Since and Until bound the time: not before Since, and before Until.
	Since, Until time.Time
	// After and Before bound the number, both exclusive; zero is no bound.
	After, Before int64
	// Oldest gives the oldest entries first; otherwise the newest.
	Oldest bool
	// Limit is 50 when zero and never more than 200.
	Limit int
}

// where is the filter as conditions on the chain's table.
func (f AuditFilter) where(of auditQuery) ([]string, []any) {
	var where []string
	var args []any
	add := func(set bool, column string, value any) {
		if set {
			where, args = append(where, column+" ?"), append(args, value)
		}
	}
	add(f.Namespace != "", of.namespace+" =", f.Namespace)
	if of.organization != none {
		add(f.Organization != "", of.organization+" =", f.Organization)
	}
	add(f.Actor != "", "a.actor =", f.Actor)
	add(f.Action != "", of.action+" =", f.Action)
	add(f.Target != "", "a.target =", f.Target)
	add(!f.Since.IsZero(), "a.at >=", f.Since.UnixMicro())
	add(!f.Until.IsZero(), "a.at <", f.Until.UnixMicro())
	add(f.After > 0, "a.seq >", f.After)
	add(f.Before > 0, "a.seq <", f.Before)
	return where, args
}

// broken is the first of what was found, as an error.
func broken(found []audit.Finding) error {
	if len(found) == 0 {
		return nil
	}
	return found[0].Err()
}
