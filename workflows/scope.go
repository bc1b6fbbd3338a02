package workflows

import (
	"strconv"
	"strings"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// scope is where in a run the walk is: the grammar of its paths is in doc.go.
type scope struct {
	// path is the key of the visit, effect the same without attempts.
	path, effect string
	// pointer is the JSON Pointer of the task.
	pointer string
	vars    *binding
}

// binding is a variable in scope, before those of the scopes around it.
type binding struct {
	name  string
	ref   task.Ref
	outer *binding
}

// visit is the scope of the n-th visit (from 1) of a task listed in s.
func (s scope) visit(t *flow.Task, n int) scope {
	segment := strings.TrimPrefix(t.Pointer, s.pointer)
	if n > 1 {
		segment += "#" + strconv.Itoa(n)
	}
	return s.extend(t.Pointer, segment, segment)
}

// iteration is the scope of one pass of a loop.
func (s scope) iteration(i int) scope {
	segment := "[" + strconv.Itoa(i) + "]"
	return s.extend(s.pointer, segment, segment)
}

// attempt is the scope of one attempt of a try; the first adds nothing, and
// none adds to the effect: a retried task asks for the same effect.
func (s scope) attempt(n int) scope {
	if n == 0 {
		return s
	}
	return s.extend(s.pointer, "~"+strconv.Itoa(n), "")
}

func (s scope) extend(pointer, path, effect string) scope {
	next := scope{path: s.path + path, pointer: pointer, vars: s.vars}
	// Most runs retry nothing: their effects share the path's memory.
	if s.path == s.effect && path == effect {
		next.effect = next.path
	} else {
		next.effect = s.effect + effect
	}
	return next
}

// bind returns the scope with one more variable.
func (s scope) bind(name string, ref task.Ref) scope {
	s.vars = &binding{name: name, ref: ref, outer: s.vars}
	return s
}

// variables gives what a request needs to know of the variables in scope.
func (s scope) variables() map[string]task.Ref {
	if s.vars == nil {
		return nil
	}
	vars := make(map[string]task.Ref)
	for b := s.vars; b != nil; b = b.outer {
		if _, hidden := vars[b.name]; !hidden {
			vars[b.name] = b.ref
		}
	}
	return vars
}
