package flow

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/tenonhq/tenon/schema"
)

// readJSON reads one JSON document and refuses duplicate keys and what follows it.
func readJSON(data []byte) (*node, *schema.Error) {
	r := &jsonReader{dec: json.NewDecoder(bytes.NewReader(data))}
	r.dec.UseNumber()
	n, err := r.value(0, "")
	if err != nil {
		return nil, err
	}
	if _, end := r.dec.Token(); !errors.Is(end, io.EOF) {
		return nil, schema.Errorf(schema.CodeInvalid, "something follows the JSON document at byte %d", r.dec.InputOffset())
	}
	return n, nil
}

type jsonReader struct {
	builder
	dec *json.Decoder
}

func (r *jsonReader) token() (json.Token, *schema.Error) {
	t, err := r.dec.Token()
	if err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "not valid JSON near byte %d: %s", r.dec.InputOffset(), err)
	}
	return t, nil
}

func (r *jsonReader) value(depth int, at string) (*node, *schema.Error) {
	t, err := r.token()
	if err != nil {
		return nil, err
	}
	n := &node{}
	switch v := t.(type) {
	case json.Delim:
		if err := r.count(depth+1, "", at); err != nil {
			return nil, err
		}
		if v == '[' {
			return r.array(depth+1, at)
		}
		return r.object(depth+1, at)
	case string:
		n.kind, n.text = kindString, v
	case json.Number:
		n.kind, n.text = kindNumber, v.String()
	case bool:
		n.kind, n.text = kindBool, boolText(v)
	}
	return n, r.count(depth, n.text, at)
}

func (r *jsonReader) array(depth int, at string) (*node, *schema.Error) {
	n := &node{kind: kindArray}
	for r.dec.More() {
		item, err := r.value(depth, index(at, len(n.items)))
		if err != nil {
			return nil, err
		}
		n.items = append(n.items, item)
	}
	_, err := r.token()
	return n, err
}

func (r *jsonReader) object(depth int, at string) (*node, *schema.Error) {
	n := &node{kind: kindObject}
	seen := map[string]bool{}
	for r.dec.More() {
		t, err := r.token()
		if err != nil {
			return nil, err
		}
		key, _ := t.(string) // the decoder allows nothing else here
		here := Pointer(at, key)
		if seen[key] {
			return nil, duplicateKey(here)
		}
		seen[key] = true
		if err := r.count(depth, key, here); err != nil {
			return nil, err
		}
		v, err := r.value(depth, here)
		if err != nil {
			return nil, err
		}
		n.keys, n.items = append(n.keys, key), append(n.items, v)
	}
	_, err := r.token()
	return n, err
}

func duplicateKey(at string) *schema.Error {
	return schema.Errorf(schema.CodeInvalid, "this key occurs twice").At(clip(at)).Advise("Keep one of them.")
}

func boolText(v bool) string {
	if v {
		return "true"
	}
	return "false"
}
