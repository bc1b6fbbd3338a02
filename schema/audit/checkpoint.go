package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The domains keep a signature of ours from being one of anything else, and a
// checkpoint from becoming the acceptance of a restore.
const (
	checkpointDomain = "tenon-audit-checkpoint-v1\x00"
	restoreDomain    = "tenon-audit-restore-v1\x00"
)

// ChainHead is where one chain ended.
type ChainHead struct {
	Chain string `json:"chain"`
	Head
}

// Checkpoint says where the chains of one organization ended at one time. It is
// signed by a key that neither a database nor a process that writes a chain
// holds, and names the checkpoint before, so that none can be left out.
type Checkpoint struct {
	// Organization is empty for the control chain's.
	Organization string `json:"organization,omitempty"`
	// Sequence starts at 1 and has no gap.
	Sequence int64 `json:"sequence"`
	// At is when it was signed, in whole microseconds.
	At time.Time `json:"at"`
	// Heads are sorted by chain; a chain without entries is not among them.
	Heads []ChainHead `json:"heads"`
	// Restored says that an administrator has accepted databases of an earlier
	// time: what earlier checkpoints know behind Heads is given up.
	Restored bool `json:"restored,omitempty"`
	// Previous is the hash of the checkpoint before; empty for the first.
	Previous []byte `json:"previous,omitempty"`
	// Key names the key that signed.
	Key       string `json:"key"`
	Signature []byte `json:"signature"`
}

// Next is the checkpoint that follows before, signed. A nil before makes the
// first one.
func (s Signer) Next(before *Checkpoint, organization string, at time.Time, heads []ChainHead) Checkpoint {
	return s.next(before, organization, at, heads, false)
}

// Accept is the checkpoint that follows before, and accepts that the chains end
// earlier than it says.
func (s Signer) Accept(before *Checkpoint, organization string, at time.Time, heads []ChainHead) Checkpoint {
	return s.next(before, organization, at, heads, true)
}

func (s Signer) next(before *Checkpoint, organization string, at time.Time, heads []ChainHead, restored bool) Checkpoint {
	c := Checkpoint{Organization: organization, Sequence: 1, At: at.UTC().Truncate(time.Microsecond), Heads: slices.Clone(heads), Restored: restored, Key: s.id}
	slices.SortFunc(c.Heads, func(a, b ChainHead) int { return strings.Compare(a.Chain, b.Chain) })
	if before != nil {
		c.Sequence, c.Previous = before.Sequence+1, before.Hash()
	}
	c.Signature = s.sign(c.message())
	return c
}

// message is what is signed.
func (c *Checkpoint) message() []byte {
	domain := checkpointDomain
	if c.Restored {
		domain = restoreDomain
	}
	w := writer(domain)
	w.text(c.Organization)
	w.number(c.Sequence)
	w.number(c.At.UnixMicro())
	w.bytes(c.Previous)
	w.text(c.Key)
	w.number(int64(len(c.Heads)))
	for _, h := range c.Heads {
		w.text(h.Chain)
		w.number(h.Seq)
		w.bytes(h.Hash)
	}
	return w
}

// Hash names the checkpoint in the one that follows.
func (c *Checkpoint) Hash() []byte {
	sum := sha256.Sum256(c.message())
	return sum[:]
}

// Head is where the chain ended; zero when the checkpoint does not say.
func (c *Checkpoint) Head(chain string) Head {
	for _, h := range c.Heads {
		if h.Chain == chain {
			return h.Head
		}
	}
	return Head{}
}

func (c *Checkpoint) name() string {
	return fmt.Sprintf("checkpoint %d of %s", c.Sequence, c.At.Format(time.RFC3339))
}

// Series verifies the checkpoints of one organization, oldest first.
type Series struct {
	organization string
	keys         Keys
	last         *Checkpoint
	found        findings
}

// NewSeries begins with the first checkpoint of the organization.
func NewSeries(organization string, keys Keys) *Series {
	return &Series{organization: organization, keys: keys}
}

// Add takes the next checkpoint and returns the anchors that it gives: none
// when its signature does not hold.
func (s *Series) Add(c *Checkpoint) map[string]Anchor {
	report := func(what string) { s.found.add(Finding{Seq: c.Sequence, What: what}) }
	want, previous := int64(1), []byte(nil)
	if s.last != nil {
		want, previous = s.last.Sequence+1, s.last.Hash()
	}
	key, known := s.keys[c.Key]
	switch {
	case !known:
		report("the key " + c.Key + " that it names is not one that was given to verify with")
		return nil
	case !ed25519.Verify(key, c.message(), c.Signature):
		report("its signature does not hold: it was changed, or made up")
		return nil
	case c.Organization != s.organization:
		report("it is of another organization")
		return nil
	case c.Sequence > want:
		s.found.add(Finding{Seq: want, What: fmt.Sprintf("it is missing, up to checkpoint %d", c.Sequence-1)})
	case c.Sequence < want:
		report("it is out of order")
		return nil
	case !bytes.Equal(c.Previous, previous):
		report("it does not follow the one before")
	}
	anchors := make(map[string]Anchor, len(c.Heads))
	for _, h := range c.Heads {
		if s.last != nil && !c.Restored && h.Seq < s.last.Head(h.Chain).Seq {
			report("chain " + h.Chain + " was shorter than at the checkpoint before: it had been cut")
		}
		anchors[h.Chain] = Anchor{Head: h.Head, By: c.name()}
	}
	s.last = c
	return anchors
}

// Follows tells whether the checkpoint holds and follows the one before, which
// is nil for the first.
func Follows(before, c *Checkpoint, organization string, keys Keys) error {
	s := &Series{organization: organization, keys: keys, last: before}
	s.Add(c)
	if len(s.found) > 0 {
		return s.found[0].Err()
	}
	return nil
}

// Last is the last checkpoint that held; nil when there is none.
func (s *Series) Last() *Checkpoint { return s.last }

// Findings is what is wrong so far.
func (s *Series) Findings() []Finding { return s.found }
