package jq

import (
	"regexp"
	"slices"
	"strings"
)

var pathForm = regexp.MustCompile(`^(\$[A-Za-z_][A-Za-z0-9_]*)?((?:\.[A-Za-z_][A-Za-z0-9_]*)*|\.)$`)

// path looks fields up without the cost of starting gojq: most expressions of
// a mapping do nothing else. Where its answer could differ from gojq's it has none.
type path struct {
	root   int // index of a variable, -1 for "."
	fields []string
}

func lookUp(src string, vars []string) *path {
	m := pathForm.FindStringSubmatch(strings.TrimSpace(src))
	if m == nil || m[0] == "" || m[1] != "" && m[2] == "." {
		return nil
	}
	p := &path{root: -1}
	if m[1] != "" {
		if p.root = slices.Index(vars, m[1]); p.root < 0 {
			return nil
		}
	}
	if m[2] != "." && m[2] != "" {
		p.fields = strings.Split(m[2][1:], ".")
	}
	return p
}

// find gives no answer for a field of what is neither an object nor null:
// gojq words the fault.
func (p *path) find(on any, vars []any) (any, bool) {
	if p == nil {
		return nil, false
	}
	v := on
	if p.root >= 0 {
		v = vars[p.root]
	}
	for _, field := range p.fields {
		switch object := v.(type) {
		case map[string]any:
			v = object[field]
		case nil:
		default:
			return nil, false
		}
	}
	return v, true
}
