package audit

import (
	"crypto/sha256"
	"fmt"
	"time"
)

// Report is what a verification found.
type Report struct {
	Organization string `json:"organization,omitempty"`
	// Entries and Checkpoints are how many were verified.
	Entries     int64 `json:"entries"`
	Checkpoints int64 `json:"checkpoints"`
	// Heads are where the chains that were whole end.
	Heads []ChainHead `json:"heads"`
	// Restores are the entries that were given up when databases of an earlier
	// time were accepted.
	Restores []Restore `json:"restores,omitempty"`
	// Parts are the chains of which only a part was there: its entries were
	// verified one by one, and others may be missing.
	Parts []string `json:"parts,omitempty"`
	// Unsigned are the entries of whole chains that no checkpoint covers yet:
	// nobody but the writing process would notice if these were cut off.
	Unsigned int64     `json:"unsigned"`
	Findings []Finding `json:"findings"`
}

// Restore is what a chain lost by an accepted restore: checkpoints knew of the
// entries From to To.
type Restore struct {
	Chain      string    `json:"chain"`
	From       int64     `json:"from"`
	To         int64     `json:"to"`
	At         time.Time `json:"at"`
	Checkpoint int64     `json:"checkpoint"`
}

// Broken tells whether anything is wrong.
func (r *Report) Broken() bool { return len(r.Findings) > 0 }

// Verification verifies whole chains against signed checkpoints, which must be
// given first.
type Verification struct {
	organization string
	keys         Keys
	chains       []string
	walkers      map[string]*Walker
	last         *Checkpoint
	// seen are the checkpoints that gave their anchors, by their hashes.
	seen     map[[sha256.Size]byte]struct{}
	restores []Restore
	found    findings
}

// NewVerification begins with the first entry of each chain. Without keys no
// checkpoint is believed.
func NewVerification(organization string, keys Keys, chains []string) *Verification {
	v := &Verification{
		organization: organization, keys: keys, chains: chains, walkers: make(map[string]*Walker, len(chains)),
		seen: make(map[[sha256.Size]byte]struct{}),
	}
	for _, c := range chains {
		v.walkers[c] = NewWalker(c, Head{})
	}
	return v
}

// Walker takes the entries of a chain; nil for one that is not verified here.
func (v *Verification) Walker(chain string) *Walker { return v.walkers[chain] }

// Checkpoints takes one place's copies of all checkpoints, oldest first. Of
// several places the first is the one that is to be believed more: what a later
// one lacks at its end was cut off there.
func (v *Verification) Checkpoints(all []Checkpoint) {
	known := v.last
	s := NewSeries(v.organization, v.keys)
	for i := range all {
		v.checkpoint(s, &all[i])
	}
	if known != nil && (s.Last() == nil || s.Last().Sequence < known.Sequence) {
		at := int64(1)
		if s.Last() != nil {
			at = s.Last().Sequence + 1
		}
		v.found.add(Finding{Seq: at, What: fmt.Sprintf("the control database lacks it, up to checkpoint %d, which the file has", known.Sequence)})
	}
	v.end(s)
}

func (v *Verification) checkpoint(s *Series, c *Checkpoint) {
	anchors := s.Add(c)
	if anchors == nil {
		return
	}
	// A second copy of a checkpoint must not bring back what a restore gave up.
	hash := [sha256.Size]byte(c.Hash())
	if _, ok := v.seen[hash]; ok {
		return
	}
	v.seen[hash] = struct{}{}
	if c.Restored {
		v.restored(c)
	}
	for chain, anchor := range anchors {
		if w := v.walkers[chain]; w != nil {
			w.Expect(anchor)
		}
	}
}

// restored gives up what the chains had behind the heads of an accepted restore.
func (v *Verification) restored(c *Checkpoint) {
	for _, chain := range v.chains {
		end := c.Head(chain).Seq
		if lost := v.walkers[chain].Forget(end); lost > 0 {
			v.restores = append(v.restores, Restore{Chain: chain, From: end + 1, To: lost, At: c.At, Checkpoint: c.Sequence})
		}
	}
}

func (v *Verification) end(s *Series) {
	for _, f := range s.Findings() {
		v.found.add(f)
	}
	if last := s.Last(); last != nil && (v.last == nil || last.Sequence > v.last.Sequence) {
		v.last = last
	}
}

// Report ends the verification.
func (v *Verification) Report() *Report {
	r := &Report{Organization: v.organization, Heads: []ChainHead{}, Restores: v.restores, Findings: append([]Finding{}, v.found...)}
	if v.last != nil {
		r.Checkpoints = v.last.Sequence
	}
	for _, chain := range v.chains {
		head, found := v.walkers[chain].End()
		r.Heads = append(r.Heads, ChainHead{Chain: chain, Head: head})
		r.Entries += head.Seq
		r.Findings = append(r.Findings, found...)
		signed := int64(0)
		if v.last != nil {
			signed = v.last.Head(chain).Seq
		}
		r.Unsigned += max(head.Seq-signed, 0)
	}
	return r
}
