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

// maxForesight bounds the bytes of a batch that tasks to come are evaluated with: beyond
// it the evaluator is asked for no more than one task needs.
const maxForesight = 256 << 10

// evaluate asks the evaluator for the batch, or takes what was foreseen of it.
// What ends badly for a task to come is left for it to meet.
func (s *scope) evaluate(ctx context.Context) (evaluate.Result, error) {
	if f, ok := s.st.expected(s.req.Key); ok && f.is(s.batch) {
		return evaluate.Result{Values: f.yields, Halted: f.halted}, nil
	}
	next, together := s.foresee()
	if len(next) == 0 {
		return s.exchange(ctx, s.batch)
	}
	own := len(s.batch.Evals)
	r, err := s.exchange(ctx, together)
	broke := r.Fault != nil && r.Fault.Type == jq.FaultRuntime
	if broke || err != nil && schema.CodeOf(err) != schema.CodeUnavailable {
		s.st.plan.apart.Store(true)
	}
	if err != nil || broke && r.Failed < own {
		// Whose it is cannot be told, if the process ended.
		return s.exchange(ctx, s.batch)
	}
	s.st.expect(next, together, r)
	if r.Failed >= own {
		r.Fault, r.Halted, r.Failed = nil, false, 0
	}
	maps.DeleteFunc(r.Values, func(name string, _ json.RawMessage) bool { return strings.Contains(name, ".") })
	return r, nil
}

// exchange asks the evaluator. Each value has memory of its own: one that is kept would
// keep the others of its batch, which nobody counts.
func (s *scope) exchange(ctx context.Context, b evaluate.Batch) (evaluate.Result, error) {
	r, err := s.e.cfg.Evaluator.Eval(ctx, b)
	for name, v := range r.Values {
		r.Values[name] = bytes.Clone(v)
	}
	return r, err
}

// ahead is a task to come in the batch of the one before it.
type ahead struct {
	*scope
	// output and context name what the task before it came to, names its other values
	// in that batch; its evaluations there are those from first up to end.
	output, context string
	names           map[string]string
	first, end      int
}

// foresee adds the tasks that follow to the batch, up to the first call, whose answer
// nobody knows; none when there is nothing to add.
func (s *scope) foresee() (tasks []ahead, together evaluate.Batch) {
	room := maxForesight - weigh(s.batch)
	if s.left == "" || len(s.req.Following) == 0 || room < 0 || s.st.plan.apart.Load() {
		return nil, together
	}
	together = evaluate.Batch{Values: maps.Clone(s.batch.Values), Evals: slices.Clone(s.batch.Evals), Now: s.batch.Now}
	output, context := s.left, s.exported
	if context == "" {
		v, err := s.st.context(s.req.Context)
		if err != nil {
			return nil, together
		}
		room -= len(v)
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
		for _, name := range []string{varWorkflow, varRuntime} {
			if v, ok := together.Values[name]; ok {
				next.batch.Values[name] = v
			}
		}
		if err := next.opening(); err != nil {
			break
		}
		for name, v := range next.batch.Values {
			if _, ok := together.Values[name]; !ok {
				room -= len(v)
			}
		}
		if room -= weigh(evaluate.Batch{Evals: next.batch.Evals}); room < 0 {
			break
		}
		tasks = append(tasks, next.join(&together, strconv.Itoa(i)+".", output, context))
		if t.Kind == flow.KindCall {
			break
		}
		names := tasks[i].names
		output = names[next.left]
		if next.exported != "" {
			context = names[next.exported]
		}
	}
	return tasks, together
}

// join adds the scope's evaluations to the batch of a task before it.
func (s *scope) join(together *evaluate.Batch, prefix, output, context string) ahead {
	a := ahead{scope: s, output: output, context: context, names: make(map[string]string)}
	for name, of := range map[string]string{valueRaw: output, valueContext: context} {
		a.names[name] = prefix + name
		together.Evals = append(together.Evals, evaluate.Eval{To: prefix + name, On: of})
	}
	for name, v := range s.batch.Values {
		if name != valueRaw && name != valueContext {
			a.names[name], together.Values[name] = name, v
		}
	}
	a.first = len(together.Evals)
	for _, ev := range s.batch.Evals {
		if ev.To != "" {
			a.names[ev.To] = prefix + ev.To
		}
		together.Evals = append(together.Evals, evaluate.Eval{
			To: a.names[ev.To], On: a.names[ev.On], Template: ev.Template, Schema: ev.Schema, Halt: ev.Halt, Vars: renamed(ev.Vars, a.names),
		})
	}
	a.end = len(together.Evals)
	return a
}

// timeless tells whether what a task begins with is the same whenever it begins.
func timeless(t *flow.Task) bool {
	templates := []*flow.Template{t.If}
	switch t.Kind {
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
	return !uses("now", templates...) && !uses(varTask, templates...)
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

// weigh is about how many bytes a batch has.
func weigh(b evaluate.Batch) (bytes int) {
	for _, v := range b.Values {
		bytes += len(v)
	}
	for _, ev := range b.Evals {
		bytes += len(ev.Template) + len(ev.Schema)
	}
	return bytes
}
