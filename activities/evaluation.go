package activities

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"github.com/tenonhq/tenon/activities/evaluate"
	"github.com/tenonhq/tenon/activities/evaluate/jq"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// Names of values inside one batch.
const (
	valueRaw      = "raw"
	valueEntered  = "entered"
	valueBody     = "body"
	valueArgs     = "args"
	valueOut      = "out"
	valueContext  = "context"
	valueExported = "exported"
)

// Variables that describe where an expression stands.
const (
	varTask     = "$task"
	varWorkflow = "$workflow"
	varRuntime  = "$runtime"
)

// runtimeVersion is what $runtime.version tells.
const runtimeVersion = "1"

// scope gathers the evaluations of one task into one batch for the evaluator.
type scope struct {
	e     *Executor
	st    *runState
	req   task.StepRequest
	task  *flow.Task // nil for the document
	batch evaluate.Batch
	// entered names the transformed input, left the transformed output,
	// exported the new context; empty when the context stays.
	entered, left, exported string
	started                 time.Time
}

func (e *Executor) newScope(st *runState, req task.StepRequest, t *flow.Task, started time.Time) (*scope, error) {
	raw, err := st.value(req.Input)
	if err != nil {
		return nil, err
	}
	s := &scope{e: e, st: st, req: req, task: t, started: started, entered: valueRaw}
	s.batch.Values = map[string]json.RawMessage{valueRaw: raw}
	return s, nil
}

// eval adds one evaluation; only the variables that the template mentions are bound.
func (s *scope) eval(to, on string, t *flow.Template, halt bool) error {
	vars, err := s.bind(t)
	if err != nil {
		return err
	}
	s.batch.Evals = append(s.batch.Evals, evaluate.Eval{To: to, On: on, Template: t.JSON, Vars: vars, Halt: halt})
	return nil
}

func (s *scope) validate(on string, against json.RawMessage) {
	if len(against) > 0 {
		s.batch.Evals = append(s.batch.Evals, evaluate.Eval{On: on, Schema: against})
	}
}

func (s *scope) bind(t *flow.Template) (map[string]string, error) {
	if t.Literal {
		return nil, nil
	}
	vars := make(map[string]string, 2)
	if uses("$context", t) {
		if _, ok := s.batch.Values[valueContext]; !ok {
			v, err := s.st.context(s.req.Context)
			if err != nil {
				return nil, err
			}
			s.batch.Values[valueContext] = v
		}
		vars["$context"] = valueContext
	}
	if uses("$input", t) {
		vars["$input"] = s.entered
	}
	if s.left != "" && uses("$output", t) {
		vars["$output"] = s.left
	}
	for _, d := range []struct {
		name string
		make func() (json.RawMessage, error)
	}{
		{varTask, s.describeTask},
		{varWorkflow, s.describeWorkflow},
		{varRuntime, func() (json.RawMessage, error) {
			return json.RawMessage(`{"name":"tenon","version":"` + runtimeVersion + `","metadata":{}}`), nil
		}},
	} {
		if !uses(d.name, t) {
			continue
		}
		vars[d.name] = d.name
		if _, ok := s.batch.Values[d.name]; ok && d.name != varTask {
			continue // It is the same in all of the run.
		}
		v, err := d.make()
		if err != nil {
			return nil, err
		}
		s.batch.Values[d.name] = v
	}
	for name, ref := range s.req.Vars {
		if !uses("$"+name, t) {
			continue
		}
		v, err := s.st.value(ref)
		if err != nil {
			return nil, err
		}
		s.batch.Values["$"+name] = v
		vars["$"+name] = "$" + name
	}
	return vars, nil
}

// enter adds "if" and "input".
func (s *scope) enter(cond *flow.Template, in *flow.Input) error {
	if cond != nil {
		if err := s.eval("if", valueRaw, cond, true); err != nil {
			return err
		}
	}
	if in == nil {
		return nil
	}
	s.validate(valueRaw, in.Schema)
	if in.From == nil {
		return nil
	}
	if err := s.eval(valueEntered, valueRaw, in.From, false); err != nil {
		return err
	}
	s.entered = valueEntered
	return nil
}

// reenter binds the transformed input that an earlier step of the task produced.
func (s *scope) reenter() error {
	if s.req.Entered == "" {
		return nil
	}
	v, err := s.st.value(s.req.Entered)
	if err != nil {
		return err
	}
	s.batch.Values[valueEntered], s.entered = v, valueEntered
	return nil
}

// leave adds "output" and "export", given the name of the raw output.
func (s *scope) leave(raw string, out *flow.Output, export *flow.Export) error {
	last := raw
	if out != nil {
		if out.As != nil {
			if err := s.eval(valueOut, raw, out.As, false); err != nil {
				return err
			}
			last = valueOut
		}
		s.validate(last, out.Schema)
	}
	s.left = last
	if export == nil {
		return nil
	}
	if export.As != nil {
		if err := s.eval(valueExported, last, export.As, false); err != nil {
			return err
		}
		s.exported = valueExported
	}
	if len(export.Schema) > 0 && s.exported != "" {
		s.validate(s.exported, export.Schema)
	}
	return nil
}

// opening adds what a call or a set begins with: of a set all that it evaluates, of a
// call all before its request.
func (s *scope) opening() error {
	if err := s.enter(s.task.If, s.task.Input); err != nil {
		return err
	}
	if s.task.Kind == flow.KindCall {
		return s.eval(valueArgs, s.entered, &s.task.Call.With, false)
	}
	if err := s.eval(valueBody, s.entered, s.task.Set, false); err != nil {
		return err
	}
	return s.leave(valueBody, s.task.Output, s.task.Export)
}

// run evaluates the batch; what it yields joins the batch's values. A batch
// with nothing to evaluate costs no round trip.
func (s *scope) run(ctx context.Context) (evaluate.Result, error) {
	if len(s.batch.Evals) == 0 {
		return evaluate.Result{}, nil
	}
	// There is no clock in an evaluator: "now" is the time recorded for the step.
	s.batch.Now = seconds(s.started)
	r, err := s.evaluate(ctx)
	if schema.CodeOf(err) == schema.CodeTooLarge {
		// No repetition mends it: it is the run's own fault (invariant 9).
		return evaluate.Result{Fault: &evaluate.Fault{Type: jq.FaultRuntime, Detail: tooLarge}}, nil
	}
	if err != nil {
		return r, err
	}
	maps.Copy(s.batch.Values, r.Values)
	s.batch.Evals = nil
	return r, nil
}

func (s *scope) describeTask() (json.RawMessage, error) {
	if s.task == nil {
		return json.RawMessage("null"), nil
	}
	raw := s.batch.Values[valueRaw]
	if s.req.Raw != "" {
		v, err := s.st.value(s.req.Raw)
		if err != nil {
			return nil, err
		}
		raw = v
	}
	d := map[string]any{
		"name": s.task.Name, "reference": s.task.Pointer, "startedAt": describeTime(s.started), "input": raw,
	}
	if out, ok := s.batch.Values[valueBody]; ok {
		d["output"] = out
	}
	if def, ok := lookup(s.st.plan.doc.Canonical, s.task.Pointer); ok {
		d["definition"] = def
	}
	return json.Marshal(d)
}

func (s *scope) describeWorkflow() (json.RawMessage, error) {
	input, err := s.st.value(task.RunInput)
	if err != nil {
		return nil, err
	}
	d := map[string]any{"id": s.st.run.ID, "input": input, "startedAt": describeTime(s.st.run.CreatedAt)}
	if s.st.plan.whole {
		d["definition"] = s.st.plan.doc.Canonical
	}
	return json.Marshal(d)
}

// seconds is a time as "now" yields it, as exact as a database keeps it.
func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

func describeTime(t time.Time) map[string]any {
	return map[string]any{
		"iso8601": t.UTC().Format(time.RFC3339Nano),
		"epoch":   map[string]int64{"seconds": t.Unix(), "milliseconds": t.UnixMilli()},
	}
}
