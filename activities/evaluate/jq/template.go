package jq

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/itchyny/gojq"
)

// timeVar holds what "now" yields; no expression can name it by accident.
const timeVar = "$__now"

// prelude takes away what depends on the machine. A definition hides gojq's
// function, where its option for custom functions would not.
var prelude = mustParse(`
def now: ` + timeVar + ` | if . == null then error("there is no time here") else . end;
def localtime: error("localtime depends on the machine; use gmtime");
def strflocaltime($f): error("strflocaltime depends on the machine; use strftime");
def builtins: error("builtins is not available");
def modulemeta: error("modules are not available");
def get_search_list: error("modules are not available");
.`)

func mustParse(src string) []*gojq.FuncDef {
	q, err := gojq.Parse(src)
	if err != nil {
		panic(err) // A constant of this file, covered by every test.
	}
	return q.FuncDefs
}

// program is a compiled template: a constant, an expression, or an object or
// array that holds either. The zero value of each other field says which.
type program struct {
	constant any
	code     *gojq.Code
	// path is set besides code for an expression that only looks fields up.
	path *path
	// fault is why an expression does not compile. It fails when its turn
	// comes, so that a template fails in the same place each time.
	fault string
	keys  []string // sorted
	items []*program
}

func compile(template json.RawMessage, vars []string) (*program, error) {
	v, err := decode(template)
	if err != nil {
		return nil, fmt.Errorf("a template is not JSON")
	}
	return build(v, append([]string{timeVar}, vars...)), nil
}

func build(v any, vars []string) *program {
	p := &program{constant: v}
	switch v := v.(type) {
	case string:
		if src, ok := Expression(v); ok {
			p.constant = nil
			p.code, p.fault = compileExpression(src, vars)
			p.path = lookUp(src, vars)
		}
	case []any:
		for _, item := range v {
			p.items = append(p.items, build(item, vars))
		}
		if slices.ContainsFunc(p.items, (*program).dynamic) {
			return &program{items: p.items}
		}
		return &program{constant: v}
	case map[string]any:
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		items := make([]*program, len(keys))
		for i, key := range keys {
			items[i] = build(v[key], vars)
		}
		if slices.ContainsFunc(items, (*program).dynamic) {
			return &program{keys: keys, items: items}
		}
	}
	return p
}

func (p *program) dynamic() bool { return p.code != nil || p.fault != "" || p.items != nil }

// Expression gives the text inside "${ … }", and whether s has that form.
func Expression(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "${") && strings.HasSuffix(s, "}") {
		return s[2 : len(s)-1], true
	}
	return "", false
}

func compileExpression(src string, vars []string) (*gojq.Code, string) {
	q, err := gojq.Parse(src)
	if err != nil {
		return nil, "not a valid expression: " + err.Error()
	}
	q.FuncDefs = append(slices.Clone(prelude), q.FuncDefs...)
	code, err := gojq.Compile(q, gojq.WithVariables(vars))
	if err != nil {
		return nil, "not a valid expression: " + err.Error()
	}
	return code, ""
}
