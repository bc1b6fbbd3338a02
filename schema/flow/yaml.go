package flow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tenonhq/tenon/schema"
)

// readYAML reads one YAML document. Aliases are expanded under the bounds of
// [builder], so that an alias bomb is refused early; merge keys, custom tags
// and a second document are refused.
func readYAML(data []byte) (*node, *schema.Error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	if err := decodeYAML(dec, &root); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, schema.Errorf(schema.CodeInvalid, "the document is empty")
		}
		return nil, schema.Errorf(schema.CodeInvalid, "not valid YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var more yaml.Node
	if err := decodeYAML(dec, &more); !errors.Is(err, io.EOF) {
		return nil, schema.Errorf(schema.CodeInvalid, "more than one YAML document").Advise("Deploy one flow at a time.")
	}
	if root.Kind != yaml.DocumentNode || len(root.Content) != 1 {
		return nil, schema.Errorf(schema.CodeInvalid, "the document is empty")
	}
	return (&yamlReader{open: map[*yaml.Node]bool{}}).value(root.Content[0], 0, "")
}

// decodeYAML keeps a fault of the YAML library to the document that caused it (invariant 9).
func decodeYAML(dec *yaml.Decoder, to *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser gave up: %v", r)
		}
	}()
	return dec.Decode(to)
}

type yamlReader struct {
	builder
	open map[*yaml.Node]bool // anchors whose alias is being expanded
}

func (r *yamlReader) value(y *yaml.Node, depth int, at string) (*node, *schema.Error) {
	switch y.Kind {
	case yaml.AliasNode:
		if r.open[y.Alias] {
			return nil, schema.Errorf(schema.CodeInvalid, "line %d: an alias stands inside what it names", y.Line).At(clip(at))
		}
		r.open[y.Alias] = true
		defer delete(r.open, y.Alias)
		return r.value(y.Alias, depth, at)
	case yaml.MappingNode:
		return r.object(y, depth+1, at)
	case yaml.SequenceNode:
		return r.array(y, depth+1, at)
	case yaml.ScalarNode:
		return r.scalar(y, depth, at)
	case yaml.DocumentNode:
	}
	return nil, schema.Errorf(schema.CodeInvalid, "not a YAML value").At(clip(at))
}

func (r *yamlReader) array(y *yaml.Node, depth int, at string) (*node, *schema.Error) {
	if err := r.collection(y, "!!seq", depth, at); err != nil {
		return nil, err
	}
	n := &node{kind: kindArray, items: make([]*node, 0, len(y.Content))}
	for i, c := range y.Content {
		item, err := r.value(c, depth, index(at, i))
		if err != nil {
			return nil, err
		}
		n.items = append(n.items, item)
	}
	return n, nil
}

func (r *yamlReader) object(y *yaml.Node, depth int, at string) (*node, *schema.Error) {
	if err := r.collection(y, "!!map", depth, at); err != nil {
		return nil, err
	}
	n := &node{kind: kindObject}
	seen := map[string]bool{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, err := r.key(y.Content[i], at)
		if err != nil {
			return nil, err
		}
		here := Pointer(at, key)
		if seen[key] {
			return nil, duplicateKey(here)
		}
		seen[key] = true
		if err := r.count(depth, key, here); err != nil {
			return nil, err
		}
		v, err := r.value(y.Content[i+1], depth, here)
		if err != nil {
			return nil, err
		}
		n.keys, n.items = append(n.keys, key), append(n.items, v)
	}
	return n, nil
}

func (r *yamlReader) collection(y *yaml.Node, tag string, depth int, at string) *schema.Error {
	if t := y.ShortTag(); t != tag {
		return badTag(t, at)
	}
	return r.count(depth, "", at)
}

// key gives the name of a field; JSON has only strings for it.
func (r *yamlReader) key(y *yaml.Node, at string) (string, *schema.Error) {
	if y.Kind == yaml.AliasNode {
		y = y.Alias
	}
	if y.Kind != yaml.ScalarNode {
		return "", schema.Errorf(schema.CodeInvalid, "line %d: a key must be a string", y.Line).At(clip(at))
	}
	switch t := y.ShortTag(); t {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
		return y.Value, nil
	case "!!merge":
		return "", schema.Errorf(schema.CodeInvalid, "line %d: YAML merge keys are not accepted", y.Line).At(clip(at)).
			Advise("Write the fields out, or quote the key.")
	default:
		return "", schema.Errorf(schema.CodeInvalid, "line %d: a key must be a string", y.Line).At(clip(at))
	}
}

func (r *yamlReader) scalar(y *yaml.Node, depth int, at string) (*node, *schema.Error) {
	n := &node{}
	switch t := y.ShortTag(); t {
	case "!!str", "!!timestamp":
		n.kind, n.text = kindString, y.Value
	case "!!null":
		n.kind = kindNull
	case "!!bool":
		var v bool
		if y.Decode(&v) != nil {
			return nil, badTag(t, at)
		}
		n.kind, n.text = kindBool, boolText(v)
	case "!!int", "!!float":
		text, ok := yamlNumber(y)
		if !ok {
			return nil, schema.Errorf(schema.CodeInvalid, "JSON has no such number").At(clip(at)).Advise("Quote it to make it a string.")
		}
		n.kind, n.text = kindNumber, text
	default:
		return nil, badTag(t, at)
	}
	return n, r.count(depth, n.text, at)
}

// yamlNumber writes a YAML number as JSON does: as it stands where JSON allows
// that, so that no digit is lost, else by its value.
func yamlNumber(y *yaml.Node) (string, bool) {
	if json.Valid([]byte(y.Value)) {
		return y.Value, true
	}
	if y.ShortTag() == "!!int" {
		if i, ok := new(big.Int).SetString(strings.ReplaceAll(y.Value, "_", ""), 0); ok {
			return i.String(), true
		}
	}
	var f float64
	if y.Decode(&f) != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return "", false
	}
	text, err := json.Marshal(f)
	return string(text), err == nil
}

func badTag(tag, at string) *schema.Error {
	return schema.Errorf(schema.CodeInvalid, "the YAML tag %q is not accepted", clip(tag)).At(clip(at)).
		Advise("Use only what JSON has: objects, lists, strings, numbers, booleans and null.")
}
