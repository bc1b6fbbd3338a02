package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/tenonhq/tenon/schema"
)

// maxLine bounds a line of an export. An entry's detail is a few hundred bytes.
const maxLine = 4 << 20

// VerifyExport verifies an export, with bounded memory for its entries. Without
// keys its checkpoints are not believed, and say nothing. An error means that
// it could not be read to its end; what is wrong with the log is in the report.
func VerifyExport(in io.Reader, keys Keys) (*Report, error) {
	v := &verifier{keys: keys}
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

// verifier reads an export, line by line.
type verifier struct {
	keys    Keys
	header  *Header
	log     *Verification
	series  *Series
	parts   map[string]*part
	entries int64
	// expected: the chains are held to end where the header says.
	expected bool
	ended    bool
}

// part is a chain that is seen in part.
type part struct {
	last  int64
	found findings
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
		if v.keys != nil {
			v.log.checkpoint(v.series, l.Checkpoint)
		}
	case l.Entry != nil:
		return v.entry(l.Entry.Entry())
	case l.End != nil:
		v.ended = true
		if l.End.Entries != v.entries {
			return schema.Errorf(schema.CodeInvalid, "the export has %d entries and says %d", v.entries, l.End.Entries)
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
	v.header, v.parts = h, map[string]*part{}
	var whole []string
	for _, c := range h.Chains {
		if v.parts[c.Chain] != nil || slices.Contains(whole, c.Chain) {
			return schema.Errorf(schema.CodeInvalid, "a chain stands twice in the header")
		}
		if c.Whole {
			whole = append(whole, c.Chain)
		} else {
			v.parts[c.Chain] = &part{}
		}
	}
	v.log, v.series = NewVerification(h.Organization, v.keys, whole), NewSeries(h.Organization, v.keys)
	return nil
}

// heads has the chains end where the header says. It waits for the checkpoints:
// an accepted restore gives up what was known before it.
func (v *verifier) heads() {
	if v.expected {
		return
	}
	v.expected = true
	for _, c := range v.header.Chains {
		if c.Whole {
			v.log.Walker(c.Chain).Expect(Anchor{Head: c.Head, By: "the export's header"})
		}
	}
}

func (v *verifier) entry(e *Entry) error {
	v.entries++
	v.heads()
	if w := v.log.Walker(e.Chain); w != nil {
		w.Add(e)
		return nil
	}
	p := v.parts[e.Chain]
	if p == nil {
		return schema.Errorf(schema.CodeInvalid, "an entry is of a chain that the header does not name")
	}
	// Of a part of a chain, each entry is what it was when it was written, and
	// stands where it stood; what is between them is not known.
	report := func(what string) { p.found.add(Finding{Chain: e.Chain, Seq: e.Seq, ID: e.ID, What: what}) }
	if !bytes.Equal(e.Hash, e.Digest()) {
		report("the entry was changed")
	}
	if e.Seq <= p.last {
		report(fmt.Sprintf("the entry is out of order: it stands after entry %d", p.last))
	}
	p.last = e.Seq
	return nil
}

func (v *verifier) finish() *Report {
	v.heads()
	v.log.end(v.series)
	r := v.log.Report()
	r.Entries = v.entries
	for _, c := range v.header.Chains {
		if p := v.parts[c.Chain]; p != nil {
			r.Parts = append(r.Parts, c.Chain)
			r.Findings = append(r.Findings, p.found...)
		}
	}
	return r
}
