package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/tenonhq/tenon/schema"
)

// maxLine bounds a line of an export. An entry's detail is a few hundred bytes.
const maxLine = 4 << 20

// Report is what a verification found.
type Report struct {
	Organization string `json:"organization,omitempty"`
	// Entries and Checkpoints are how many were verified.
	Entries     int64 `json:"entries"`
	Checkpoints int   `json:"checkpoints"`
	// Heads are where the chains that were whole end.
	Heads []ChainHead `json:"heads"`
	// Parts are the chains of which only a part was there: its entries were
	// verified one by one, and others may be missing.
	Parts []string `json:"parts,omitempty"`
	// Unsigned are the entries of whole chains that no checkpoint covers yet:
	// nobody but the writing process would notice if these were cut off.
	Unsigned int64     `json:"unsigned"`
	Findings []Finding `json:"findings"`
}

// Broken tells whether anything is wrong.
func (r *Report) Broken() bool { return len(r.Findings) > 0 }

// VerifyExport verifies an export, with bounded memory for its entries. Without
// keys its checkpoints are not believed, and say nothing. An error means that
// it could not be read to its end; what is wrong with the log is in the report.
func VerifyExport(in io.Reader, keys Keys) (*Report, error) {
	v := &verifier{keys: keys, report: &Report{Heads: []ChainHead{}, Findings: []Finding{}}}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	n := 0
	for lines.Scan() {
		n++
		if err := v.line(lines.Bytes()); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, schema.Errorf(schema.CodeTooLarge, "line %d is longer than %d bytes", n+1, maxLine)
	case err != nil:
		return nil, schema.Errorf(schema.CodeUnavailable, "the export could not be read: %w", err)
	case !v.ended:
		return nil, schema.Errorf(schema.CodeInvalid, "the export was cut short: its last line is missing").
			Advise("Export it again.")
	}
	return v.finish(), nil
}

type verifier struct {
	keys   Keys
	report *Report
	header *Header
	series *Series
	chains map[string]*exported
	ended  bool
}

type exported struct {
	HeaderChain
	walker *Walker
	last   int64
}

func (v *verifier) line(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var l Line
	if err := d.Decode(&l); err != nil || d.More() {
		return schema.Errorf(schema.CodeInvalid, "not a line of an audit export")
	}
	switch {
	case v.ended:
		return schema.Errorf(schema.CodeInvalid, "something follows the end")
	case (l.Header != nil) != (v.header == nil):
		return schema.Errorf(schema.CodeInvalid, "the header must stand once, on the first line")
	case l.Header != nil:
		return v.begin(l.Header)
	case l.Checkpoint != nil:
		v.checkpoint(l.Checkpoint)
	case l.Entry != nil:
		return v.entry(l.Entry.Entry())
	case l.End != nil:
		v.ended = true
		if l.End.Entries != v.report.Entries {
			return schema.Errorf(schema.CodeInvalid, "the export has %d entries and says %d", v.report.Entries, l.End.Entries)
		}
	default:
		return schema.Errorf(schema.CodeInvalid, "an empty line of an audit export")
	}
	return nil
}

func (v *verifier) begin(h *Header) error {
	if h.Format != Format {
		return schema.Errorf(schema.CodeInvalid, "not an audit export of the form %s", Format)
	}
	v.header, v.report.Organization = h, h.Organization
	v.series = NewSeries(h.Organization, v.keys)
	v.chains = make(map[string]*exported, len(h.Chains))
	for _, c := range h.Chains {
		if v.chains[c.Chain] != nil {
			return schema.Errorf(schema.CodeInvalid, "a chain stands twice in the header")
		}
		x := &exported{HeaderChain: c, walker: NewWalker(c.Chain, Head{})}
		if c.Whole {
			x.walker.Expect(Anchor{Head: c.Head, By: "the export's header"})
		}
		v.chains[c.Chain] = x
	}
	return nil
}

func (v *verifier) checkpoint(c *Checkpoint) {
	if v.keys == nil {
		return
	}
	for chain, anchor := range v.series.Add(c) {
		if x := v.chains[chain]; x != nil && x.Whole && anchor.Seq <= x.Seq {
			x.walker.Expect(anchor)
		} else if x != nil && x.Whole {
			x.walker.report(x.Seq+1, "", missing(x.Seq+1, anchor.Seq)+" at the end: "+anchor.By+" knows them")
		}
	}
}

func (v *verifier) entry(e *Entry) error {
	x := v.chains[e.Chain]
	if x == nil {
		return schema.Errorf(schema.CodeInvalid, "an entry is of a chain that the header does not name")
	}
	v.report.Entries++
	if x.Whole {
		x.walker.Add(e)
		return nil
	}
	// Of a part of a chain, each entry is what it was when it was written,
	// and stands where it stood; what is between them is not known.
	if !bytes.Equal(e.Hash, e.Digest()) {
		x.walker.report(e.Seq, e.ID, "the entry was changed")
	}
	if e.Seq <= x.last {
		x.walker.report(e.Seq, e.ID, fmt.Sprintf("the entry is out of order: it stands after entry %d", x.last))
	}
	x.last = e.Seq
	return nil
}

func (v *verifier) finish() *Report {
	v.report.Findings = append(v.report.Findings, v.series.Findings()...)
	v.report.Checkpoints = v.series.Good
	for _, c := range v.header.Chains {
		x := v.chains[c.Chain]
		head, found := x.walker.End()
		v.report.Findings = append(v.report.Findings, found...)
		if x.Whole {
			v.report.add(c.Chain, head, v.series.Last())
		} else {
			v.report.Parts = append(v.report.Parts, c.Chain)
		}
	}
	return v.report
}

// add notes the head of a whole chain, and what no checkpoint covers of it.
func (r *Report) add(chain string, head Head, last *Checkpoint) {
	r.Heads = append(r.Heads, ChainHead{Chain: chain, Head: head})
	signed := int64(0)
	if last != nil {
		signed = last.Head(chain).Seq
	}
	r.Unsigned += max(head.Seq-signed, 0)
}
