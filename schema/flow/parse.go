package flow

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tenonhq/tenon/schema"
)

// Sentinels inside a problem, for errors.Is: why a document that is not plainly
// wrong is refused all the same.
var (
	// ErrUnsupported: the specification has this, Tenon does not execute it yet.
	ErrUnsupported = errors.New("not supported yet")
	// ErrCredential: a credential, or a way to read one, stands in the document (invariant 1).
	ErrCredential = errors.New("credentials live in connections")
)

// Problems is everything that [Parse] found wrong with a document, in the order
// of the document, at most [MaxProblems]. Each has a code, a JSON Pointer and a hint.
type Problems []*schema.Error //nolint:errname // It is the list of problems; each of its members is the error.

// Error lists the problems, one a line.
func (p Problems) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the flow document has %d problem(s)", len(p))
	for _, e := range p {
		b.WriteString("\n")
		b.WriteString(e.Error())
	}
	return b.String()
}

// Unwrap gives the problems to errors.Is and errors.As.
func (p Problems) Unwrap() []error {
	out := make([]error, len(p))
	for i, e := range p {
		out[i] = e
	}
	return out
}

// Parse reads, checks and normalises a flow document in YAML or in JSON. What
// begins with "{" is read as JSON. Any error is a [Problems]. The answer is
// deterministic: the same bytes give the same document, digest and problems.
func Parse(data []byte) (*Document, error) {
	if len(data) > MaxBytes {
		return nil, Problems{schema.Errorf(schema.CodeTooLarge, "larger than %d bytes", MaxBytes)}
	}
	if !utf8.Valid(data) {
		return nil, Problems{schema.Errorf(schema.CodeInvalid, "not valid UTF-8")}
	}
	read := readYAML
	if bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		read = readJSON
	}
	root, fault := read(data)
	if fault != nil {
		return nil, Problems{fault}
	}
	d := &decoder{doc: &Document{Straight: true, tasks: map[string]*Task{}}}
	d.document(root)
	if len(d.problems) > 0 {
		return nil, d.problems
	}
	doc := d.doc
	doc.Canonical = root.canonical(nil)
	if len(doc.Canonical) > MaxBytes {
		return nil, Problems{schema.Errorf(schema.CodeTooLarge, "larger than %d bytes", MaxBytes)}
	}
	sum := sha256.Sum256(doc.Canonical)
	doc.Digest = hex.EncodeToString(sum[:])
	doc.index(doc.Do)
	return doc, nil
}

// mode says what counts as an expression.
type mode int

const (
	// modeLenient, when the document says nothing: fields typed as expressions
	// need no "${ }".
	modeLenient mode = iota //nolint:unused // The zero value: what a decoder starts with.
	// modeStrict: every expression stands in "${ }".
	modeStrict
	// modeLoose: every string is tried as an expression and stands for itself
	// when that fails.
	modeLoose
)

// decoder walks the tree and collects problems instead of stopping at the first.
type decoder struct {
	doc      *Document
	problems Problems
	mode     mode
	use      uses
	tasks    int
	// compiled counts the bytes of the expressions compiled so far.
	compiled int
	vars     []string // variables in scope besides the standard ones, with "$"
}

func (d *decoder) report(e *schema.Error) {
	if len(d.problems) < MaxProblems {
		d.problems = append(d.problems, e)
	}
}

func (d *decoder) bad(at, format string, args ...any) *schema.Error {
	e := schema.Errorf(schema.CodeInvalid, format, args...).At(clip(at))
	d.report(e)
	return e
}

func (d *decoder) unsupported(at, what string) {
	d.report((&schema.Error{Code: schema.CodeInvalid, Message: what + ": not supported yet", Err: ErrUnsupported}).At(clip(at)).
		Advise("Tenon does not execute this part of the specification yet; remove it."))
}

func (d *decoder) credential(at, what string) {
	d.report((&schema.Error{Code: schema.CodeInvalid, Message: what + ": credentials live in connections", Err: ErrCredential}).At(clip(at)).
		Advise("Save the credential with a connection of the namespace and name the connection: authentication: { use: NAME }."))
}

// object gives access to the fields of an object, and reports a value that is none.
func (d *decoder) object(n *node, at string) (*object, bool) {
	if n.kind != kindObject {
		d.bad(at, "must be an object, not %s", n.kind)
		return nil, false
	}
	return &object{d: d, n: n, at: at, taken: map[string]bool{}}, true
}

// object remembers which fields were taken, so that the others can be refused.
type object struct {
	d     *decoder
	n     *node
	at    string
	taken map[string]bool
}

func (o *object) has(name string) bool {
	_, ok := o.n.get(name)
	return ok
}

// take gives a field and its pointer.
func (o *object) take(name string) (*node, string, bool) {
	o.taken[name] = true
	n, ok := o.n.get(name)
	return n, Pointer(o.at, name), ok
}

// require is take, and reports the field when it is missing.
func (o *object) require(name string) (*node, string, bool) {
	n, at, ok := o.take(name)
	if !ok {
		o.d.bad(o.at, "%q is missing", name)
	}
	return n, at, ok
}

// done reports what was not taken: known parts of the specification that are
// not executed yet, and unknown fields.
func (o *object) done(unsupported ...string) {
	for i, key := range o.n.keys {
		if o.taken[key] {
			continue
		}
		at := Pointer(o.at, key)
		if slices.Contains(unsupported, key) {
			o.d.unsupported(at, key)
			continue
		}
		o.d.bad(at, "unknown field, %s", o.n.items[i].kind)
	}
}

// str takes an optional string that holds no expression.
func (o *object) str(name string) string {
	n, at, ok := o.take(name)
	if !ok {
		return ""
	}
	return o.d.str(n, at)
}

func (d *decoder) str(n *node, at string) string {
	if n.kind != kindString {
		e := d.bad(at, "must be a string, not %s", n.kind)
		if n.kind == kindNumber {
			_ = e.Advise("Quote it.")
		}
		return ""
	}
	return n.text
}

// matching takes a required string of a given form.
func (o *object) matching(name string, form *regexp.Regexp, want string) string {
	n, at, ok := o.require(name)
	if !ok {
		return ""
	}
	before := len(o.d.problems)
	s := o.d.str(n, at)
	if len(o.d.problems) == before && !form.MatchString(s) {
		o.d.bad(at, "must be %s", want)
	}
	return s
}

func (o *object) boolean(name string) {
	if n, at, ok := o.take(name); ok && n.kind != kindBool {
		o.d.bad(at, "must be true or false, not %s", n.kind)
	}
}
