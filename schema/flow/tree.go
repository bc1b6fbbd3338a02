package flow

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/tenonhq/tenon/schema"
)

// The bounds of a document. A document beyond one of them is refused.
const (
	// MaxBytes bounds the text of a document, and its canonical form.
	MaxBytes = 1 << 20
	// MaxDepth bounds how deeply objects and arrays nest.
	MaxDepth = 128
	// MaxValues bounds the values of a document, aliases expanded.
	MaxValues = 100_000
	// MaxTasks bounds the tasks of a document, nested ones included.
	MaxTasks = 1000
	// MaxExpression bounds the text of one expression in bytes.
	MaxExpression = 16 << 10
	// MaxExpressions bounds the text of all expressions: compiling them is the
	// slowest part of reading a document.
	MaxExpressions = 256 << 10
	// MaxProblems bounds how many problems one [Parse] reports.
	MaxProblems = 50
)

type kind int

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "a list", "an object"}[k]
}

// node is one value of a document, whichever notation it was written in.
// Keys of an object keep the order of the document.
type node struct {
	kind  kind
	text  string // a string's value, or a number or boolean as JSON writes it
	keys  []string
	items []*node // an array's items, or an object's values beside keys
}

func (n *node) get(key string) (*node, bool) {
	if i := slices.Index(n.keys, key); i >= 0 {
		return n.items[i], true
	}
	return nil, false
}

// builder enforces the bounds while either notation is read.
type builder struct {
	values int
	bytes  int
}

// count takes one value of the given text into account.
func (b *builder) count(depth int, text, at string) *schema.Error {
	b.values++
	b.bytes += len(text) + 1
	switch {
	case depth > MaxDepth:
		return schema.Errorf(schema.CodeInvalid, "nested deeper than %d levels", MaxDepth).At(clip(at))
	case b.values > MaxValues:
		return schema.Errorf(schema.CodeTooLarge, "more than %d values, aliases expanded", MaxValues)
	case b.bytes > MaxBytes:
		return schema.Errorf(schema.CodeTooLarge, "larger than %d bytes, aliases expanded", MaxBytes)
	}
	return nil
}

// clip keeps a pointer into a hostile document readable.
func clip(pointer string) string {
	const longest = 512
	if len(pointer) > longest {
		return pointer[:longest]
	}
	return pointer
}

// canonical appends n as JSON with sorted keys and no white space.
func (n *node) canonical(to []byte) []byte {
	switch n.kind {
	case kindString:
		return appendString(to, n.text)
	case kindArray:
		to = append(to, '[')
		for i, item := range n.items {
			if i > 0 {
				to = append(to, ',')
			}
			to = item.canonical(to)
		}
		return append(to, ']')
	case kindObject:
		order := make([]int, len(n.keys))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return compare(n.keys[a], n.keys[b]) })
		to = append(to, '{')
		for i, at := range order {
			if i > 0 {
				to = append(to, ',')
			}
			to = appendString(to, n.keys[at])
			to = append(to, ':')
			to = n.items[at].canonical(to)
		}
		return append(to, '}')
	case kindNull:
		return append(to, "null"...)
	case kindBool, kindNumber:
		return append(to, n.text...)
	}
	return to
}

func compare(a, b string) int { return bytes.Compare([]byte(a), []byte(b)) }

// appendString writes a JSON string. Escaping follows encoding/json without
// its HTML escapes, so that canonical text has one form.
func appendString(to []byte, s string) []byte {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f || s[i] == '"' || s[i] == '\\' {
			var b bytes.Buffer
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			_ = e.Encode(s) // a string always encodes
			return append(to, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
		}
	}
	to = append(to, '"')
	to = append(to, s...)
	return append(to, '"')
}

func stringNode(s string) *node { return &node{kind: kindString, text: s} }

func index(at string, i int) string { return at + "/" + strconv.Itoa(i) }
