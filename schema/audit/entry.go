package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// Entry is one link of a chain.
type Entry struct {
	// Chain names the chain: each writing process has one of its own.
	Chain string
	// Seq starts at 1 and has no gap.
	Seq int64
	ID  string
	// At is when the entry was committed, in whole microseconds.
	At time.Time
	// Actor is who: the id of a key, a run, an event, or "system".
	Actor string
	// Action is what, such as "connection.create".
	Action string
	// Target is the id of what it was done to.
	Target    string
	Namespace string
	// Organization is whom an entry of the control chain concerns; empty in a
	// cell's chains, which are one organization's as a whole.
	Organization string
	// Detail is ciphertext under a key of the organization; JSON where an entry
	// of the control chain concerns none.
	Detail []byte
	// Prev is the hash of the entry before; empty for the first.
	Prev []byte
	Hash []byte
}

// Head is where a chain ends, or one of its entries that is known to be good.
// The zero value knows nothing.
type Head struct {
	Seq  int64  `json:"sequence"`
	Hash []byte `json:"hash"`
}

// Head is the chain's head as long as no other entry follows.
func (e *Entry) Head() Head { return Head{Seq: e.Seq, Hash: e.Hash} }

// Digest is what Hash must be: SHA-256 over the entry's length-prefixed fields,
// so that no two different entries hash the same bytes.
func (e *Entry) Digest() []byte {
	var buf [512]byte
	w := writer(buf[:0])
	w.bytes(e.Prev)
	w.text(e.Chain)
	w.number(e.Seq)
	w.text(e.ID)
	w.number(e.At.UnixMicro())
	w.text(e.Actor)
	w.text(e.Action)
	w.text(e.Target)
	w.text(e.Namespace)
	w.bytes(e.Detail)
	if e.Organization != "" {
		w.text(e.Organization)
	}
	sum := sha256.Sum256(w)
	return sum[:]
}

// writer appends fields, each with its length in four bytes before it.
type writer []byte

func (w *writer) bytes(p []byte) {
	*w = binary.BigEndian.AppendUint32(*w, uint32(len(p)))
	*w = append(*w, p...)
}

func (w *writer) text(s string) {
	*w = binary.BigEndian.AppendUint32(*w, uint32(len(s)))
	*w = append(*w, s...)
}

func (w *writer) number(n int64) {
	*w = binary.BigEndian.AppendUint32(*w, 8)
	*w = binary.BigEndian.AppendUint64(*w, uint64(n))
}
