package audit

import (
	"bytes"
	"fmt"
)

// Anchor is an entry that something outside the chain vouches for.
type Anchor struct {
	Head
	// By is who vouches, for people: "checkpoint 7 of 2026-03-01T12:00:00Z".
	By string
}

// Walker verifies one chain, entry by entry, oldest first. It keeps the last
// entry and the anchors, however long the chain is.
type Walker struct {
	chain   string
	head    Head
	held    int64 // the last entry that an anchor confirmed
	anchors map[int64]Anchor
	last    Anchor
	found   findings
}

// NewWalker begins after a head that is known to be good; after the zero Head,
// at the first entry.
func NewWalker(chain string, after Head) *Walker {
	return &Walker{chain: chain, head: after, held: after.Seq, anchors: map[int64]Anchor{}}
}

// Expect adds an anchor ahead. A zero head, or one that was passed, is none.
func (w *Walker) Expect(a Anchor) {
	if a.Seq <= w.head.Seq {
		return
	}
	if before, ok := w.anchors[a.Seq]; ok && !bytes.Equal(before.Hash, a.Hash) {
		w.report(a.Seq, "", a.By+" and "+before.By+" vouch for different entries")
		return
	}
	w.anchors[a.Seq] = a
	if a.Seq > w.last.Seq {
		w.last = a
	}
}

// Forget gives up the anchors behind an entry, and returns the last of them;
// zero when there was none. It must come before the first entry.
func (w *Walker) Forget(after int64) int64 {
	last := w.last.Seq
	if last <= after {
		return 0
	}
	w.last = Anchor{}
	for seq, a := range w.anchors {
		if seq > after {
			delete(w.anchors, seq)
		} else if seq > w.last.Seq {
			w.last = a
		}
	}
	return last
}

// Add takes the next entry.
func (w *Walker) Add(e *Entry) {
	follows := true
	switch want := w.head.Seq + 1; {
	case e.Chain != w.chain:
		w.report(e.Seq, e.ID, "the entry is of another chain")
		return
	case e.Seq < want:
		w.report(e.Seq, e.ID, fmt.Sprintf("the entry is out of order: it stands after entry %d", w.head.Seq))
		return
	case e.Seq > want:
		w.report(want, "", missing(want, e.Seq-1))
		follows = false
	}
	switch {
	case e.Seq == 1 && len(e.Prev) != 0:
		w.report(e.Seq, e.ID, "the first entry has a predecessor")
	case follows && !bytes.Equal(e.Prev, w.head.Hash):
		w.report(e.Seq, e.ID, "the entry does not follow the one before")
	// What follows a gap names its predecessor only where an export says it.
	case (follows || len(e.Prev) > 0) && !bytes.Equal(e.Hash, e.Digest()):
		w.report(e.Seq, e.ID, "the entry, or the one before it, was changed")
	}
	w.head = e.Head()
	if a, ok := w.anchors[e.Seq]; ok {
		delete(w.anchors, e.Seq)
		if !bytes.Equal(a.Hash, e.Hash) {
			w.report(e.Seq, e.ID, fmt.Sprintf("the entry is not the one that %s knows: it, or one after entry %d, was replaced", a.By, w.held))
			return
		}
		w.held = e.Seq
	}
}

// End says that the chain ends here, and returns its head and what is wrong.
func (w *Walker) End() (Head, []Finding) {
	if w.last.Seq > w.head.Seq {
		w.report(w.head.Seq+1, "", missing(w.head.Seq+1, w.last.Seq)+" at the end: "+w.last.By+" knows them")
	}
	return w.head, w.found
}

// Findings is what is wrong so far.
func (w *Walker) Findings() []Finding { return w.found }

func (w *Walker) report(seq int64, id, what string) {
	w.found.add(Finding{Chain: w.chain, Seq: seq, ID: id, What: what})
}

func missing(from, to int64) string {
	if from == to {
		return fmt.Sprintf("entry %d is missing", from)
	}
	return fmt.Sprintf("entries %d to %d are missing", from, to)
}
