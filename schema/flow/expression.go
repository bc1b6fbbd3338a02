package flow

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/tenonhq/tenon/schema"
)

// standardVars are the variables that expressions may use everywhere.
var standardVars = []string{"$context", "$input", "$task", "$workflow", "$runtime"}

var (
	secretsVar       = regexp.MustCompile(`\$secrets\b`)
	authorizationVar = regexp.MustCompile(`\$authorization\b`)
	environment      = regexp.MustCompile(`\$ENV\b`)
)

// maxNesting bounds brackets inside an expression: the compiler recurses.
const maxNesting = 200

// unwrap gives the expression inside "${ … }".
func unwrap(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "${") && strings.HasSuffix(s, "}") {
		return strings.TrimSpace(s[2 : len(s)-1]), true
	}
	return "", false
}

func wrap(expression string) *node { return stringNode("${ " + expression + " }") }

// expression checks a field that the specification types as an expression and
// gives it wrapped.
func (d *decoder) expression(n *node, at string, extra ...string) *Template {
	if n.kind != kindString {
		d.bad(at, "must be an expression, not %s", n.kind)
		return nil
	}
	inner, wrapped := unwrap(n.text)
	if !wrapped {
		if d.mode == modeStrict {
			d.bad(at, "must be wrapped in ${ }, because evaluate.mode is strict")
			return nil
		}
		inner = strings.TrimSpace(n.text)
	}
	if !d.check(inner, at, extra) {
		return nil
	}
	return template(wrap(inner))
}

// check compiles an expression, never runs it, and reports what is wrong with it.
func (d *decoder) check(inner, at string, extra []string) bool {
	switch {
	case inner == "":
		d.bad(at, "the expression is empty")
	case len(inner) > MaxExpression:
		d.bad(at, "the expression is longer than %d bytes", MaxExpression)
	case secretsVar.MatchString(inner):
		d.credential(at, "an expression cannot read $secrets")
	case authorizationVar.MatchString(inner):
		d.unsupported(at, "$authorization in an expression")
	case environment.MatchString(inner):
		_ = d.bad(at, "an expression has no environment").Advise("Remove $ENV.")
	default:
		if err := d.compile(inner, extra); err != nil {
			_ = d.bad(at, "not a valid jq expression: %s", err).
				Advise("Variables here: " + strings.Join(d.scope(extra), ", ") + ".")
			return false
		}
		return true
	}
	return false
}

func (d *decoder) scope(extra []string) []string {
	vars := slices.Concat(standardVars, extra)
	for _, v := range d.vars {
		if !slices.Contains(vars, v) {
			vars = append(vars, v)
		}
	}
	return vars
}

func (d *decoder) compile(inner string, extra []string) error {
	if deep(inner) {
		return errDeep
	}
	before := d.compiled
	d.compiled += len(inner)
	if d.compiled > MaxExpressions {
		if before <= MaxExpressions {
			d.report(schema.Errorf(schema.CodeTooLarge, "more than %d bytes of expressions", MaxExpressions))
		}
		return nil // The document is refused; nothing more is compiled for it.
	}
	q, err := gojq.Parse(inner)
	if err != nil {
		return err
	}
	_, err = gojq.Compile(q, gojq.WithVariables(d.scope(extra)))
	return err
}

// deep counts brackets without regard to strings: too strict only for
// expressions that nobody writes.
func deep(s string) bool {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth = max(depth-1, 0)
		}
		if depth > maxNesting {
			return true
		}
	}
	return false
}

// template makes a template of a value whose expressions are checked and wrapped.
func template(n *node) *Template {
	return &Template{JSON: n.canonical(nil), Literal: !dynamic(n)}
}

func dynamic(n *node) bool {
	if n.kind == kindString {
		_, wrapped := unwrap(n.text)
		return wrapped
	}
	return slices.ContainsFunc(n.items, dynamic)
}

// template checks every expression of a value and gives the value with its
// expressions in the one form "${ … }".
func (d *decoder) template(n *node, at string, extra ...string) *Template {
	return template(d.normalise(n, at, extra))
}

func (d *decoder) normalise(n *node, at string, extra []string) *node {
	switch n.kind {
	case kindString:
		return d.normaliseString(n, at, extra)
	case kindArray:
		out := &node{kind: kindArray, items: make([]*node, len(n.items))}
		for i, item := range n.items {
			out.items[i] = d.normalise(item, index(at, i), extra)
		}
		return out
	case kindObject:
		out := &node{kind: kindObject, keys: n.keys, items: make([]*node, len(n.items))}
		for i, item := range n.items {
			out.items[i] = d.normalise(item, Pointer(at, n.keys[i]), extra)
		}
		return out
	case kindNull, kindBool, kindNumber:
	}
	return n
}

func (d *decoder) normaliseString(n *node, at string, extra []string) *node {
	inner, wrapped := unwrap(n.text)
	if wrapped {
		d.check(inner, at, extra)
		return wrap(inner)
	}
	if d.mode != modeLoose || strings.TrimSpace(n.text) == "" || len(n.text) > MaxExpression {
		return n
	}
	if secretsVar.MatchString(n.text) {
		d.check(n.text, at, extra)
		return n
	}
	// Loose mode: what evaluates is an expression, what does not is text. The
	// line break ends a comment that the text may end with.
	inner = "try (" + n.text + "\n) catch " + string(appendString(nil, n.text))
	if d.compile(inner, extra) != nil {
		return n
	}
	return wrap(inner)
}

var errDeep = errors.New("brackets nest too deeply")
