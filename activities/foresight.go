package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tenonhq/tenon/activities/evaluate"
	"github.com/tenonhq/tenon/activities/evaluate/jq"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// maxForesight bounds the bytes of a batch that tasks to come are evaluated with: with
// more, what the evaluator is asked for at a time shall be what one task needs.
const maxForesight = 256 << 10

// foreseen is what a task begins with (see [scope.opening]), evaluated with the task
// before it, since one exchange with an evaluator costs more than most expressions.
// An expression has no effects and no clock of its own: the same ones over the same
// values come to the same, so that it is taken where these are what it was made of.
type foreseen struct {
	evals []evaluate.Eval
	// given are the values that they were asked over, yields those they came to.
	given, yields map[string]json.RawMessage
}

// evaluate asks the evaluator for the batch, or takes what was foreseen of it.
// What ends badly for a task to come is left for it to meet.
func (s *scope) evaluate(ctx context.Context) (evaluate.Result, error) {
	if f, ok := s.st.expected(s.req.Key); ok && f.is(s.batch) {
		return evaluate.Result{Values: f.yields}, nil
	}
	next, together := s.foresee()
	if len(next) == 0 {
		return s.e.cfg.Evaluator.Eval(ctx, s.batch)
	}
	own := len(s.batch.Evals)
	r, err := s.e.cfg.Evaluator.Eval(ctx, together)
	broke := r.Fault != nil && r.Fault.Type == jq.FaultRuntime
	if broke || schema.CodeOf(err) == schema.CodeTooLarge {
		s.st.plan.apart.Store(true)
	}
	if err != nil || broke && r.Failed < own {
		// Whose it is cannot be told, if the process ended.
		return s.e.cfg.Evaluator.Eval(ctx, s.batch)
	}
	failed := len(together.Evals)
	if r.Fault != nil || r.Halted {
		failed = r.Failed
	}
	s.st.expect(next, together, r.Values, failed)
	if failed >= own {
		r.Fault, r.Halted, r.Failed = nil, false, 0
	}
	maps.DeleteFunc(r.Values, func(name string, _ json.RawMessage) bool { return strings.Contains(name, ".") })
	return r, nil
}

// ahead is a task to come in the batch of the one before it.
type ahead struct {
	*scope
	// output and context name what the task before it came to, names its other values
	// in that batch; end is how many evaluations that has up to its last.
	output, context string
	names           map[string]string
	end             int
}

// foresee adds the tasks that follow to the batch, up to the first call, whose answer
// nobody knows; none when there is nothing to add.
func (s *scope) foresee() (tasks []ahead, together evaluate.Batch) {
	if s.left == "" || s.task == nil || s.st.plan.apart.Load() {
		return nil, together
	}
	together = evaluate.Batch{Values: maps.Clone(s.batch.Values), Evals: slices.Clone(s.batch.Evals), Now: s.batch.Now}
	output, context := s.left, s.exported
	if context == "" {
		v, err := s.st.context(s.req.Context)
		if err != nil {
			return nil, together
		}
		context, together.Values[valueContext] = valueContext, v
	}
	for i, f := range s.req.Following {
		t, ok := s.st.plan.doc.Task(f.Pointer)
		if !ok || !timeless(t) {
			break
		}
		next := &scope{e: s.e, st: s.st, req: s.req.Next(i, task.StepResult{}), task: t, started: s.started, entered: valueRaw}
		// These two are known by their names only.
		next.batch.Values = map[string]json.RawMessage{valueRaw: nil, valueContext: nil}
		if err := next.opening(); err != nil {
			break
		}
		a := ahead{scope: next, output: output, context: context, names: make(map[string]string)}
		prefix := strconv.Itoa(i) + "."
		for name, of := range map[string]string{valueRaw: output, valueContext: context} {
			a.names[name] = prefix + name
			together.Evals = append(together.Evals, evaluate.Eval{To: prefix + name, On: of})
		}
		for name, v := range next.batch.Values {
			if name != valueRaw && name != valueContext {
				a.names[name], together.Values[name] = name, v
			}
		}
		for _, ev := range next.batch.Evals {
			if ev.To != "" {
				a.names[ev.To] = prefix + ev.To
			}
			together.Evals = append(together.Evals, evaluate.Eval{
				To: a.names[ev.To], On: a.names[ev.On], Template: ev.Template, Schema: ev.Schema, Halt: ev.Halt, Vars: renamed(ev.Vars, a.names),
			})
		}
		a.end = len(together.Evals)
		tasks = append(tasks, a)
		if t.Kind == flow.KindCall {
			break
		}
		output = a.names[next.left]
		if next.exported != "" {
			context = a.names[next.exported]
		}
	}
	if weigh(together) > maxForesight {
		return nil, together
	}
	return tasks, together
}

// timeless tells whether what a task begins with is the same whenever it begins.
func timeless(t *flow.Task) bool {
	templates := []*flow.Template{t.If}
	switch t.Kind { //nolint:exhaustive // No other kind is foreseen.
	case flow.KindSet:
		templates = append(templates, t.Set)
		if t.Output != nil {
			templates = append(templates, t.Output.As)
		}
		if t.Export != nil {
			templates = append(templates, t.Export.As)
		}
	case flow.KindCall:
		templates = append(templates, &t.Call.With)
	default:
		return false
	}
	if t.Input != nil {
		templates = append(templates, t.Input.From)
	}
	return !uses("now", templates...) && !uses("$task", templates...)
}

func renamed(vars, names map[string]string) map[string]string {
	if vars == nil {
		return nil
	}
	out := make(map[string]string, len(vars))
	for name, value := range vars {
		out[name] = names[value]
	}
	return out
}

func weigh(b evaluate.Batch) (bytes int) {
	for _, v := range b.Values {
		bytes += len(v)
	}
	return bytes
}

// expect keeps what was foreseen of the tasks whose evaluations all come before the
// one that failed, and forgets what was foreseen before.
func (st *runState) expect(tasks []ahead, together evaluate.Batch, yields map[string]json.RawMessage, failed int) {
	known := make(map[string]foreseen, len(tasks))
	for _, a := range tasks {
		if a.end > failed {
			break
		}
		f := foreseen{evals: a.batch.Evals, given: a.batch.Values, yields: make(map[string]json.RawMessage)}
		for name, of := range map[string]string{valueRaw: a.output, valueContext: a.context} {
			v, ok := yields[of]
			if !ok {
				v = together.Values[of]
			}
			f.given[name] = v
		}
		for _, ev := range f.evals {
			if ev.To != "" {
				f.yields[ev.To] = yields[a.names[ev.To]]
			}
		}
		known[a.req.Key] = f
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.foreseen = known
}

// expected takes what was foreseen of a step.
func (st *runState) expected(key string) (foreseen, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	f, ok := st.foreseen[key]
	delete(st.foreseen, key)
	return f, ok
}

// is tells whether a batch asks for what was foreseen: the same of the same values.
func (f foreseen) is(b evaluate.Batch) bool {
	for name, v := range b.Values {
		if given, ok := f.given[name]; !ok || !bytes.Equal(given, v) {
			return false
		}
	}
	return slices.EqualFunc(f.evals, b.Evals, func(x, y evaluate.Eval) bool {
		return x.To == y.To && x.On == y.On && x.Halt == y.Halt && bytes.Equal(x.Template, y.Template) &&
			bytes.Equal(x.Schema, y.Schema) && maps.Equal(x.Vars, y.Vars)
	})
}
