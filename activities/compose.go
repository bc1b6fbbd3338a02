package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// maxItems bounds the collection of a "for".
const maxItems = 10_000

// enter does "if" and "input" of a composite task or of the document, the
// duration of a wait and the collection of a for.
func (e *Executor) enter(ctx context.Context, st *runState, req task.StepRequest, t *flow.Task, started time.Time) (task.Record, error) {
	s, err := e.newScope(st, req, t, started)
	if err != nil {
		return task.Record{}, err
	}
	if t == nil {
		if err := s.enter(nil, st.plan.doc.Input); err != nil {
			return task.Record{}, err
		}
	} else if err := s.enter(t.If, t.Input); err != nil {
		return task.Record{}, err
	}
	var body *flow.Template
	if t != nil {
		switch t.Kind { //nolint:exhaustive // Only these compute something on entering.
		case flow.KindWait:
			body = t.Wait
		case flow.KindFor:
			body = &t.For.In
		}
	}
	if body != nil {
		if err := s.eval(valueBody, s.entered, body, false); err != nil {
			return task.Record{}, err
		}
	}
	s.left = s.entered
	rec, ok, err := s.settle(ctx)
	if err != nil || !ok || body == nil {
		return rec, err
	}
	if t.Kind == flow.KindWait {
		d, err := flow.ParseDuration(s.batch.Values[valueBody])
		if err != nil {
			return faulted(req, problem{Type: flow.TypeExpression, Detail: err.Error()}), nil //nolint:nilerr // A bad duration is the run's fault.
		}
		return waiting(rec, started, d), nil
	}
	var items []json.RawMessage
	if err := json.Unmarshal(s.batch.Values[valueBody], &items); err != nil {
		return faulted(req, problem{Type: flow.TypeExpression, Detail: "for.in must yield an array"}), nil //nolint:nilerr // The run's fault.
	}
	if len(items) > maxItems {
		return faulted(req, problem{Type: flow.TypeRuntime, Detail: fmt.Sprintf("for.in yielded %d items; at most %d are taken", len(items), maxItems)}), nil
	}
	put(&rec, collection(task.Ref(req.Key)), s.batch.Values[valueBody])
	rec.Result.Count = len(items)
	return rec, nil
}

// collection names the collection that the enter step of a for computed.
func collection(entered task.Ref) task.Ref { return entered + "^in" }

// list returns a collection, parsed once: a loop that parsed it for each of its
// items would cost the square of its size (invariant 9).
func (st *runState) list(ref task.Ref) ([]json.RawMessage, error) {
	raw, err := st.value(ref)
	if err != nil {
		return nil, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	items, ok := st.lists[ref]
	if !ok {
		if err := json.Unmarshal(raw, &items); err != nil {
			return nil, schema.Errorf(schema.CodeInternal, "a journalled collection is no array")
		}
		st.lists[ref] = items
	}
	return items, nil
}

// leave does "output" and "export" of a composite task.
func (e *Executor) leave(ctx context.Context, st *runState, req task.StepRequest, t *flow.Task, started time.Time) (task.Record, error) {
	s, err := e.newScope(st, req, t, started)
	if err != nil {
		return task.Record{}, err
	}
	if t != nil {
		if err := s.reenter(); err != nil {
			return task.Record{}, err
		}
		if err := s.leave(valueRaw, t.Output, t.Export); err != nil {
			return task.Record{}, err
		}
	}
	rec, _, err := s.settle(ctx)
	return rec, err
}

// item binds one item of a for and evaluates "while".
func (e *Executor) item(ctx context.Context, st *runState, req task.StepRequest, t *flow.Task, started time.Time) (task.Record, error) {
	items, err := st.list(collection(req.Collection))
	if err != nil {
		return task.Record{}, err
	}
	if req.Index >= len(items) {
		return faulted(req, problem{Type: flow.TypeRuntime, Detail: "the loop ran past its collection"}), nil
	}
	rec := task.Record{Result: task.StepResult{Output: task.Ref(req.Key), At: task.Ref(req.Key + "^i"), Context: req.Context}}
	put(&rec, rec.Result.Output, items[req.Index])
	put(&rec, rec.Result.At, mustJSON(req.Index))
	if t.For.While == nil {
		return rec, nil
	}
	s, err := e.newScope(st, req, t, started)
	if err != nil {
		return task.Record{}, err
	}
	st.lend(rec.Values)
	vars := map[string]task.Ref{t.For.Each: rec.Result.Output, t.For.At: rec.Result.At}
	for name, ref := range req.Vars {
		if _, ok := vars[name]; !ok {
			vars[name] = ref
		}
	}
	s.req.Vars = vars
	if err := s.reenter(); err != nil {
		return task.Record{}, err
	}
	if err := s.eval("while", valueRaw, t.For.While, true); err != nil {
		return task.Record{}, err
	}
	r, err := s.run(ctx)
	switch {
	case err != nil:
		return task.Record{}, err
	case r.Fault != nil:
		return faulted(req, fromEvaluation(r.Fault)), nil
	}
	rec.Result.Stop = r.Halted
	return rec, nil
}
