package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/tenonhq/tenon/schema"
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
	Target       string
	Namespace    string
	DetailSealed []byte
}

// AuditEntry is one link of a chain. Seq starts at 1 and has no gap.
type AuditEntry struct {
	Chain        string
	Seq          int64
	ID           string
	At           time.Time
	Actor        string
	Action       string
	Target       string
	Namespace    string
	DetailSealed []byte
	// Prev is the hash of the entry before; empty for the first.
	Prev []byte
	Hash []byte
}

// Cursor is what [AuditFilter.After] takes to go on after this entry.
func (e AuditEntry) Cursor() string { return cursor(e.Seq) }

// AuditHead is the last entry of a chain that is known to be good. The zero
// value knows nothing.
type AuditHead struct {
	Seq  int64
	Hash []byte
}

// AuditFilter asks for entries of one chain, newest first; empty fields match
// all.
type AuditFilter struct {
	Namespace string
	Action    string
	// After is the Cursor of the last entry of the page before.
	After string
	Limit int
}

// digest is the entry's hash over its length-prefixed fields, so that no two
// different entries hash the same bytes.
func (e *AuditEntry) digest() []byte {
	var buf [512]byte
	b := buf[:0]
	field := func(p []byte) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	text := func(s string) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	number := func(n int64) {
		b = binary.BigEndian.AppendUint32(b, 8)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	field(e.Prev)
	text(e.Chain)
	number(e.Seq)
	text(e.ID)
	number(e.At.UnixMicro())
	text(e.Actor)
	text(e.Action)
	text(e.Target)
	text(e.Namespace)
	field(e.DetailSealed)
	sum := sha256.Sum256(b)
	return sum[:]
}

// VerifyAudit checks that entries, oldest first, are an unbroken part of one
// chain, and that every known head is among them. The error names the first
// sequence number that does not fit.
func VerifyAudit(entries []AuditEntry, known ...AuditHead) error {
	for i := range entries {
		e := &entries[i]
		switch {
		case i == 0 && e.Seq == 1 && len(e.Prev) != 0:
			return broken(e.Chain, e.Seq, "the first entry has a predecessor")
		case i > 0 && e.Chain != entries[0].Chain:
			return broken(e.Chain, e.Seq, "the entry is of another chain")
		case i > 0 && e.Seq != entries[i-1].Seq+1:
			return broken(e.Chain, entries[i-1].Seq+1, "the entry is missing or out of order")
		case i > 0 && !bytes.Equal(e.Prev, entries[i-1].Hash):
			return broken(e.Chain, e.Seq, "the entry does not follow the one before")
		case !bytes.Equal(e.Hash, e.digest()):
			return broken(e.Chain, e.Seq, "the entry, or the one before it, was changed")
		}
	}
	for _, head := range known {
		if err := head.among(entries); err != nil {
			return err
		}
	}
	return nil
}

func (h AuditHead) among(entries []AuditEntry) error {
	if h.Seq == 0 {
		return nil
	}
	if len(entries) == 0 {
		return broken("", h.Seq, "the entry is missing: the chain was cut")
	}
	at := h.Seq - entries[0].Seq
	if at < 0 || at >= int64(len(entries)) {
		return broken(entries[0].Chain, h.Seq, "the entry is missing: the chain was cut")
	}
	if !bytes.Equal(entries[at].Hash, h.Hash) {
		return broken(entries[0].Chain, h.Seq, "the entry is not the one that is known")
	}
	return nil
}

func broken(chain string, seq int64, what string) error {
	return schema.Errorf(schema.CodeInternal, "audit chain %q is broken at entry %d: %s", chain, seq, what)
}
