package flow

import (
	"encoding/json"
	"regexp"
	"strings"
)

// schemaFormat is the one schema language: JSON Schema, of any version it names itself.
var schemaFormat = regexp.MustCompile(`^json(?::.*)?$`)

func (d *decoder) input(parent *object) *Input {
	n, at, ok := parent.take("input")
	if !ok {
		return nil
	}
	o, ok := d.object(n, at)
	if !ok {
		return nil
	}
	in := &Input{Schema: d.schema(o), From: d.mapping(o, "from")}
	o.done()
	return in
}

func (d *decoder) output(parent *object) *Output {
	n, at, ok := parent.take("output")
	if !ok {
		return nil
	}
	o, ok := d.object(n, at)
	if !ok {
		return nil
	}
	out := &Output{Schema: d.schema(o), As: d.mapping(o, "as")}
	o.done()
	return out
}

func (d *decoder) export(parent *object) *Export {
	n, at, ok := parent.take("export")
	if !ok {
		return nil
	}
	o, ok := d.object(n, at)
	if !ok {
		return nil
	}
	out := &Export{Schema: d.schema(o), As: d.mapping(o, "as", "$output")}
	o.done()
	return out
}

// mapping is an expression, or an object in which expressions stand.
func (d *decoder) mapping(o *object, name string, extra ...string) *Template {
	n, at, ok := o.take(name)
	if !ok {
		return nil
	}
	return d.value(n, at, extra...)
}

func (d *decoder) value(n *node, at string, extra ...string) *Template {
	switch n.kind {
	case kindString:
		return d.expression(n, at, extra...)
	case kindObject:
		return d.template(n, at, extra...)
	case kindNull, kindBool, kindNumber, kindArray:
	}
	d.bad(at, "must be an expression or an object, not %s", n.kind)
	return nil
}

func (d *decoder) schema(parent *object) json.RawMessage {
	n, at, ok := parent.take("schema")
	if !ok {
		return nil
	}
	o, ok := d.object(n, at)
	if !ok {
		return nil
	}
	if format, at, ok := o.take("format"); ok && !schemaFormat.MatchString(d.str(format, at)) {
		d.unsupported(at, "a schema format other than json")
	}
	var out json.RawMessage
	document, at, inline := o.take("document")
	switch {
	case inline && document.kind != kindObject && document.kind != kindBool:
		d.bad(at, "a JSON Schema must be an object, not %s", document.kind)
	case inline:
		d.localReferences(document, at)
		out = document.canonical(nil)
	case !o.has("resource"):
		d.bad(o.at, `"document" is missing`)
	}
	o.done("resource")
	return out
}

// localReferences refuses a schema that would have to be fetched (invariant 9).
func (d *decoder) localReferences(n *node, at string) {
	for i, item := range n.items {
		if n.kind == kindArray {
			d.localReferences(item, index(at, i))
			continue
		}
		key := n.keys[i]
		here := Pointer(at, key)
		if (key == "$ref" || key == "$dynamicRef") && item.kind == kindString && !strings.HasPrefix(item.text, "#") {
			_ = d.bad(here, "a schema may refer to its own parts only").Advise(`Put the schema under "$defs" and refer to "#/$defs/NAME".`)
		}
		d.localReferences(item, here)
	}
}

// duration is a template that evaluates to a duration; what can be checked now is.
func (d *decoder) duration(n *node, at string) *Template {
	if n.kind == kindString {
		if _, wrapped := unwrap(n.text); wrapped {
			return d.template(n, at)
		}
	}
	t := d.template(n, at)
	if t.Literal || n.kind != kindObject {
		if _, err := ParseDuration(n.canonical(nil)); err != nil {
			d.reportAt(err, at)
		}
	}
	return t
}

// timeout is inline, or the name of one under use.timeouts.
func (d *decoder) timeout(o *object) *Template {
	n, at, ok := o.take("timeout")
	if !ok {
		return nil
	}
	if n.kind == kindString {
		t, ok := d.use.timeouts[n.text]
		if !ok {
			_ = d.bad(at, "no timeout of this name is declared").Advise("Declare it under use.timeouts.")
		}
		return t
	}
	return d.timeoutObject(n, at)
}

func (d *decoder) timeoutObject(n *node, at string) *Template {
	o, ok := d.object(n, at)
	if !ok {
		return nil
	}
	defer o.done()
	if n, at, ok := o.require("after"); ok {
		return d.duration(n, at)
	}
	return nil
}
