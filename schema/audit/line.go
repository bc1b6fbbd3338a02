package audit

import (
	"encoding/json"
	"time"
)

// Format names the form of an export.
const Format = "tenon-audit-v1"

// Line is one line of an export: exactly one field is set. The first line is
// the header, the last one the end; checkpoints come before the entries.
type Line struct {
	Header     *Header     `json:"header,omitempty"`
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`
	Entry      *Record     `json:"entry,omitempty"`
	End        *End        `json:"end,omitempty"`
}

// Header says what the export is of.
type Header struct {
	Format string `json:"format"`
	// Organization is empty for the platform's export.
	Organization string    `json:"organization,omitempty"`
	At           time.Time `json:"at"`
	// Chains are those whose entries are in the export.
	Chains []HeaderChain `json:"chains"`
}

// HeaderChain is one chain of an export.
type HeaderChain struct {
	ChainHead
	// Whole: every entry up to the head is in the export. Otherwise it holds a
	// part of the chain, whose entries are verified one by one.
	Whole bool `json:"whole"`
}

// End says that the export was not cut short.
type End struct {
	// Entries is how many entries the export has.
	Entries int64 `json:"entries"`
}

// Record is an entry as it is shown.
type Record struct {
	ID           string          `json:"id"`
	Chain        string          `json:"chain" enum:"control,door,work" doc:"Each writing process has a chain of its own."`
	Sequence     int64           `json:"sequence" doc:"Without a gap in its chain."`
	At           time.Time       `json:"at"`
	Actor        string          `json:"actor" doc:"Id of a key, a source, an event or a run; operator: and a name; or system."`
	Action       string          `json:"action" example:"credential.write"`
	Target       string          `json:"target"`
	Namespace    string          `json:"namespace,omitempty"`
	Organization string          `json:"organization,omitempty" doc:"Whom an entry of the control chain concerns."`
	Detail       json.RawMessage `json:"detail,omitempty" doc:"What else is known of the act, opened."`
	Sealed       []byte          `json:"sealed,omitempty" doc:"The detail as it is stored, which is what the hash covers."`
	Previous     []byte          `json:"previous" doc:"Hash of the entry before."`
	Hash         []byte          `json:"hash"`
}

// RecordOf shows an entry, without its detail opened.
func RecordOf(e *Entry) Record {
	return Record{
		ID: e.ID, Chain: e.Chain, Sequence: e.Seq, At: e.At, Actor: e.Actor, Action: e.Action, Target: e.Target,
		Namespace: e.Namespace, Organization: e.Organization, Sealed: e.Detail, Previous: e.Prev, Hash: e.Hash,
	}
}

// Entry is what was shown, as it is hashed.
func (r *Record) Entry() *Entry {
	return &Entry{
		Chain: r.Chain, Seq: r.Sequence, ID: r.ID, At: r.At, Actor: r.Actor, Action: r.Action, Target: r.Target,
		Namespace: r.Namespace, Organization: r.Organization, Detail: r.Sealed, Prev: r.Previous, Hash: r.Hash,
	}
}
