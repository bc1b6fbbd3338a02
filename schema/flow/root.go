package flow

import (
	"regexp"
	"slices"
)

const semver = `(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?`

var (
	labelForm   = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`)
	versionForm = regexp.MustCompile(`^` + semver + `$`)
	// supported versions of the specification: 1.0.3 and what it is compatible with.
	supported = []string{"1.0.0", "1.0.1", "1.0.2", "1.0.3"}
)

const maxText = 10_000

func (d *decoder) document(root *node) {
	o, ok := d.object(root, "")
	if !ok {
		return
	}
	if n, at, ok := o.require("document"); ok {
		d.header(n, at)
	}
	if n, at, ok := o.take("evaluate"); ok {
		d.evaluate(n, at)
	}
	if n, at, ok := o.take("use"); ok {
		d.definitions(n, at)
	}
	d.doc.Input = d.input(o)
	d.doc.Output = d.output(o)
	d.doc.Timeout = d.timeout(o)
	if n, at, ok := o.require("do"); ok {
		d.doc.Do = d.list(n, at)
	}
	o.done("schedule")
}

func (d *decoder) header(n *node, at string) {
	o, ok := d.object(n, at)
	if !ok {
		return
	}
	doc := d.doc
	doc.DSL = o.matching("dsl", versionForm, `a version of the specification, such as "1.0.3"`)
	if versionForm.MatchString(doc.DSL) && !slices.Contains(supported, doc.DSL) {
		d.unsupported(Pointer(at, "dsl"), "this version of the specification")
	}
	doc.Namespace = o.matching("namespace", labelForm, "1 to 63 letters, digits and inner hyphens")
	doc.Name = o.matching("name", labelForm, "1 to 63 letters, digits and inner hyphens")
	doc.Version = o.matching("version", versionForm, `a semantic version, such as "1.0.0"`)
	doc.Title, doc.Summary = o.str("title"), o.str("summary")
	if len(doc.Title) > maxText {
		d.bad(Pointer(at, "title"), "longer than %d bytes", maxText)
	}
	if n, at, ok := o.take("tags"); ok {
		d.tags(n, at)
	}
	d.metadata(o)
	o.done()
}

func (d *decoder) tags(n *node, at string) {
	o, ok := d.object(n, at)
	if !ok {
		return
	}
	d.doc.Tags = make(map[string]string, len(n.keys))
	for i, key := range n.keys {
		switch v := n.items[i]; v.kind {
		case kindString, kindNumber, kindBool:
			d.doc.Tags[key] = v.text
		case kindNull, kindArray, kindObject:
			d.bad(Pointer(o.at, key), "a tag must be a string, not %s", v.kind)
		}
	}
}

// metadata is free-form and stays in the canonical text only.
func (d *decoder) metadata(o *object) {
	if n, at, ok := o.take("metadata"); ok {
		d.object(n, at)
	}
}

func (d *decoder) evaluate(n *node, at string) {
	o, ok := d.object(n, at)
	if !ok {
		return
	}
	if n, at, ok := o.take("language"); ok && d.str(n, at) != "jq" {
		d.unsupported(at, "an expression language other than jq")
	}
	if n, at, ok := o.take("mode"); ok {
		switch d.str(n, at) {
		case "strict":
			d.mode = modeStrict
		case "loose":
			d.mode = modeLoose
		default:
			d.bad(at, `must be "strict" or "loose"`)
		}
	}
	o.done()
}
