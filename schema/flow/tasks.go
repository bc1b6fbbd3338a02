package flow

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"unicode"

	"github.com/tenonhq/tenon/schema"
)

const maxName = 128

var (
	kinds = []string{"call", "do", "emit", "for", "fork", "listen", "raise", "run", "set", "switch", "try", "wait"}
	// notYet are the kinds of the specification that are not executed yet, with
	// the further fields that belong to them.
	notYet   = map[string][]string{"emit": nil, "fork": nil, "listen": {"foreach"}, "run": nil}
	variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)
)

// list reads a list of named tasks.
func (d *decoder) list(n *node, at string) []Task {
	if n.kind != kindArray {
		d.bad(at, "must be a list of tasks, not %s", n.kind)
		return nil
	}
	if len(n.items) == 0 {
		d.bad(at, "has no task")
	}
	siblings := make(map[string]bool, len(n.items))
	for i, item := range n.items {
		if item.kind != kindObject || len(item.keys) != 1 {
			_ = d.bad(index(at, i), "must be an object with one field, the task's name").Advise("Write - name: { … }.")
			continue
		}
		d.taskName(item.keys[0], index(at, i), siblings)
	}
	out := make([]Task, 0, len(n.items))
	for i, item := range n.items {
		d.tasks++
		if d.tasks == MaxTasks+1 {
			d.report(schema.Errorf(schema.CodeTooLarge, "more than %d tasks", MaxTasks).At(clip(at)))
		}
		if d.tasks > MaxTasks || item.kind != kindObject || len(item.keys) != 1 {
			continue
		}
		name := item.keys[0]
		if t, ok := d.task(item.items[0], name, Pointer(index(at, i), name), siblings); ok {
			out = append(out, t)
		}
	}
	return out
}

func (d *decoder) taskName(name, at string, siblings map[string]bool) {
	here := Pointer(at, name)
	switch {
	case name == "" || len(name) > maxName || slices.ContainsFunc([]rune(name), unicode.IsControl):
		d.bad(here, "a task's name must have 1 to %d bytes and no control characters", maxName)
	case name == ThenContinue || name == ThenExit || name == ThenEnd:
		d.bad(here, "a task cannot have the name of a flow directive")
	case siblings[name]:
		d.bad(here, "two tasks of one list have this name")
	}
	siblings[name] = true
}

func (d *decoder) task(n *node, name, at string, siblings map[string]bool) (Task, bool) {
	o, ok := d.object(n, at)
	if !ok {
		return Task{}, false
	}
	kind, ok := d.kind(o)
	if !ok {
		return Task{}, false
	}
	t := Task{Name: name, Pointer: at, Kind: Kind(kind)}
	if n, at, ok := o.take("if"); ok {
		t.If = d.expression(n, at)
	}
	t.Input, t.Timeout = d.input(o), d.timeout(o)
	t.Then = d.then(o, siblings)
	d.metadata(o)
	if further, no := notYet[kind]; no {
		d.unsupported(at, "the task kind "+kind)
		o.taken[kind] = true
		for _, f := range further {
			o.taken[f] = true
		}
	} else {
		d.body(&t, o, siblings)
	}
	t.Output, t.Export = d.output(o), d.export(o)
	o.done()
	return t, true
}

// kind finds what a task does: the one field that names a kind. A for task has
// a "do" as well.
func (d *decoder) kind(o *object) (string, bool) {
	var found []string
	for _, key := range o.n.keys {
		if slices.Contains(kinds, key) && (key != "do" || !o.has("for")) {
			found = append(found, key)
		}
	}
	switch len(found) {
	case 1:
		return found[0], true
	case 0:
		_ = d.bad(o.at, "the task does nothing").Advise("Give it one of set, do, switch, call, try, raise, wait or for.")
	default:
		d.bad(Pointer(o.at, found[1]), "a task does one thing: %q stands beside %q", found[1], found[0])
	}
	return "", false
}

func (d *decoder) body(t *Task, o *object, siblings map[string]bool) {
	n, at, _ := o.take(string(t.Kind))
	switch t.Kind {
	case KindSet:
		t.Set = d.value(n, at)
		if n.kind == kindObject && len(n.keys) == 0 {
			d.bad(at, "sets nothing")
		}
	case KindDo:
		t.Do = d.list(n, at)
	case KindSwitch:
		t.Switch = d.cases(n, at, siblings)
	case KindCall:
		t.Call = d.call(n, at, o)
	case KindTry:
		t.Try = d.try(n, at, o)
	case KindRaise:
		t.Raise = d.raise(n, at)
	case KindWait:
		d.doc.Straight = false
		t.Wait = d.duration(n, at)
	case KindFor:
		t.For = d.loop(n, at, o)
	}
}

// then checks that a flow directive leads somewhere. Backward jumps are loops
// and allowed; the interpreter bounds a run's steps.
func (d *decoder) then(o *object, siblings map[string]bool) string {
	n, at, ok := o.take("then")
	if !ok {
		return ""
	}
	s := d.str(n, at)
	switch {
	case n.kind != kindString, s == ThenContinue, s == ThenExit, s == ThenEnd, siblings[s]:
	default:
		_ = d.bad(at, "no task of this name stands in the same list").Advise("Name a sibling task, or write continue, exit or end.")
	}
	return s
}

func (d *decoder) cases(n *node, at string, siblings map[string]bool) []Case {
	if n.kind != kindArray || len(n.items) == 0 {
		d.bad(at, "must be a list of cases")
		return nil
	}
	var out []Case
	seen, fallback := map[string]bool{}, false
	for i, item := range n.items {
		here := index(at, i)
		if item.kind != kindObject || len(item.keys) != 1 {
			d.bad(here, "must be an object with one field, the case's name")
			continue
		}
		c := Case{Name: item.keys[0]}
		o, ok := d.object(item.items[0], Pointer(here, c.Name))
		if !ok {
			continue
		}
		if seen[c.Name] {
			d.bad(o.at, "two cases have this name")
		}
		seen[c.Name] = true
		if n, at, ok := o.take("when"); ok {
			c.When = d.expression(n, at)
		} else {
			if fallback {
				_ = d.bad(o.at, "two cases have no condition").Advise(`Give one of them a "when".`)
			}
			fallback = true
		}
		if !o.has("then") {
			d.bad(o.at, `"then" is missing`)
		}
		c.Then = d.then(o, siblings)
		o.done()
		out = append(out, c)
	}
	return out
}

func (d *decoder) loop(n *node, at string, parent *object) *For {
	out := &For{Each: "item", At: "index"}
	o, ok := d.object(n, at)
	if !ok {
		return nil
	}
	if n, at, ok := o.require("in"); ok {
		if t := d.expression(n, at); t != nil {
			out.In = *t
		}
	}
	d.name(o, "each", &out.Each)
	d.name(o, "at", &out.At)
	if out.Each == out.At {
		d.bad(Pointer(at, "at"), "the item and the index have the same name")
	}
	o.done()
	scope := d.vars
	d.vars = append(slices.Clone(d.vars), "$"+out.Each, "$"+out.At)
	if n, at, ok := parent.take("while"); ok {
		out.While = d.expression(n, at)
	}
	if n, at, ok := parent.require("do"); ok {
		out.Do = d.list(n, at)
	}
	d.vars = scope
	return out
}

// name reads the name of a variable over its default.
func (d *decoder) name(o *object, field string, to *string) {
	n, at, ok := o.take(field)
	if !ok {
		return
	}
	s := d.str(n, at)
	reserved := slices.Contains(standardVars, "$"+s) || slices.Contains([]string{"output", "secrets", "authorization", "ENV"}, s)
	switch {
	case n.kind != kindString:
	case reserved:
		d.bad(at, "this name belongs to a standard variable")
	case !variable.MatchString(s) || len(s) > 1 && s[:2] == "__":
		d.bad(at, "must be a variable's name: letters, digits and underscores, without $")
	default:
		*to = s
	}
}

// reportAt reports an error of a helper at a place.
func (d *decoder) reportAt(err error, at string) {
	var e *schema.Error
	if errors.As(err, &e) {
		d.report(e.At(clip(at)))
		return
	}
	d.bad(at, "%s", err)
}

func raw(n *node) json.RawMessage { return n.canonical(nil) }
