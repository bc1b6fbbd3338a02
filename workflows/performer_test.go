package workflows

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// perform does one phase of one task by the letter of the specification.
func (x *reference) perform(req task.StepRequest) (task.StepResult, error) {
	run, doc := req.Owner.Run, x.lib[req.Owner.Digest]
	t := lookup(doc.Do, req.Pointer)
	in := x.value(run, req.Input)
	vars := x.variables(req)
	switch req.Phase {
	case task.PhaseTimeout:
		bound := doc.Timeout
		if t != nil {
			bound = t.Timeout
		}
		if req.Limit > 0 {
			return task.StepResult{Wait: req.Limit}, nil
		}
		wait, err := duration(bound, in, vars)
		return task.StepResult{Wait: wait}, err
	case task.PhaseExpire:
		return task.StepResult{}, &problem{kind: "timeout", detail: "too late"}
	case task.PhaseCatch:
		return x.catch(req, t.Try.Catch, in, vars)
	case task.PhaseItem:
		return x.item(req, t.For, in, vars)
	case task.PhaseLeave:
		vars["input"] = x.value(run, req.Entered)
		return x.leave(req, t, in, req.Context, vars)
	case task.PhaseEnter, task.PhaseWhole:
		if t == nil {
			from, err := evaluateOr(doc.Input.From, in, vars)
			return task.StepResult{Output: x.put(run, ":enter", from)}, err
		}
		return x.begin(req, t, in, vars)
	}
	panic("unknown phase " + string(req.Phase))
}

func (x *reference) variables(req task.StepRequest) map[string]any {
	vars := map[string]any{"context": any(nil)}
	if req.Context != task.NoContext {
		vars["context"] = x.value(req.Owner.Run, req.Context)
	}
	for name, ref := range req.Vars {
		vars[name] = x.value(req.Owner.Run, ref)
	}
	return vars
}

func evaluateOr(t *flow.Template, dot any, vars map[string]any) (any, error) {
	if t == nil {
		return dot, nil
	}
	return evaluate(t, dot, vars)
}

func truth(v any) bool { return v != nil && v != false }

// begin does "if" and "input" and, for a leaf, everything else.
func (x *reference) begin(req task.StepRequest, t *flow.Task, raw any, vars map[string]any) (task.StepResult, error) {
	run := req.Owner.Run
	res := task.StepResult{Context: req.Context}
	if t.If != nil {
		ok, err := evaluate(t.If, raw, vars)
		if err != nil {
			return res, err
		}
		if !truth(ok) {
			res.Skipped, res.Output = true, req.Input
			return res, nil
		}
	}
	x.ran[run] = append(x.ran[run], t.Name)
	in := raw
	if t.Input != nil {
		var err error
		if in, err = evaluateOr(t.Input.From, raw, vars); err != nil {
			return res, err
		}
	}
	vars["input"] = in
	if req.Phase == task.PhaseEnter {
		return x.enter(req, t, in, vars)
	}
	out, branch, err := x.leaf(t, in, vars)
	if err != nil {
		return res, err
	}
	res, err = x.leave(req, t, out, req.Context, vars)
	res.Branch = branch
	return res, err
}

func (x *reference) enter(req task.StepRequest, t *flow.Task, in any, vars map[string]any) (task.StepResult, error) {
	run := req.Owner.Run
	res := task.StepResult{Context: req.Context, Output: x.put(run, task.Ref(req.Key), in)}
	switch t.Kind {
	case flow.KindWait:
		wait, err := duration(t.Wait, in, vars)
		res.Wait = wait
		return res, err
	case flow.KindFor:
		items, err := evaluate(&t.For.In, in, vars)
		if err != nil {
			return res, err
		}
		list, ok := items.([]any)
		if !ok {
			return res, &problem{kind: "expression", detail: "for.in is no array"}
		}
		x.put(run, task.Ref(req.Key+"[]"), list)
		res.Count = len(list)
	case flow.KindSet, flow.KindCall, flow.KindSwitch, flow.KindRaise, flow.KindDo, flow.KindTry:
	}
	return res, nil
}

func (x *reference) leaf(t *flow.Task, in any, vars map[string]any) (out any, branch string, err error) {
	switch t.Kind {
	case flow.KindSet:
		out, err = evaluate(t.Set, in, vars)
		return out, "", err
	case flow.KindCall:
		with, err := evaluate(&t.Call.With, in, vars)
		if err != nil {
			return nil, "", err
		}
		x.calls[t.Name]++
		out, err = x.call(t, with)
		return out, "", err
	case flow.KindRaise:
		object, err := evaluate(t.Raise, in, vars)
		if err != nil {
			return nil, "", err
		}
		fields := object.(map[string]any)
		title, _ := fields["title"].(string)
		return nil, "", &problem{kind: fields["type"].(string), status: number(fields["status"]), detail: title}
	case flow.KindSwitch:
		other := ""
		for i := range t.Switch {
			c := &t.Switch[i]
			if c.When == nil {
				other = c.Then
				continue
			}
			ok, err := evaluate(c.When, in, vars)
			if err != nil {
				return nil, "", err
			}
			if truth(ok) {
				return in, c.Then, nil
			}
		}
		return in, other, nil
	case flow.KindDo, flow.KindTry, flow.KindFor, flow.KindWait:
	}
	panic("not a leaf: " + t.Kind)
}

// leave does "output" and "export".
func (x *reference) leave(req task.StepRequest, t *flow.Task, out any, context task.Ref, vars map[string]any) (task.StepResult, error) {
	res := task.StepResult{Context: context}
	if t.Output != nil {
		var err error
		if out, err = evaluateOr(t.Output.As, out, vars); err != nil {
			return res, err
		}
	}
	res.Output = x.put(req.Owner.Run, task.Ref(req.Key), out)
	if t.Export != nil && t.Export.As != nil {
		vars["output"] = out
		exported, err := evaluate(t.Export.As, out, vars)
		if err != nil {
			return res, err
		}
		res.Context = x.put(req.Owner.Run, task.Ref(req.Key+"$"), exported)
	}
	return res, nil
}

func (x *reference) item(req task.StepRequest, f *flow.For, in any, vars map[string]any) (task.StepResult, error) {
	run := req.Owner.Run
	items := x.value(run, req.Collection+"[]").([]any)
	res := task.StepResult{Context: req.Context}
	res.Output = x.put(run, task.Ref(req.Key), items[req.Index])
	res.At = x.put(run, task.Ref(req.Key+"#"), req.Index)
	if f.While == nil {
		return res, nil
	}
	vars[f.Each], vars[f.At], vars["input"] = items[req.Index], req.Index, x.value(run, req.Entered)
	ok, err := evaluate(f.While, in, vars)
	res.Stop = !truth(ok)
	return res, err
}

func (x *reference) catch(req task.StepRequest, c *flow.Catch, in any, vars map[string]any) (task.StepResult, error) {
	object := x.value(req.Owner.Run, req.Fault.Ref).(map[string]any)
	vars[c.As] = object
	res := task.StepResult{Context: req.Context, Output: req.Fault.Ref}
	if c.With != nil {
		var want map[string]any
		if err := json.Unmarshal(c.With.JSON, &want); err != nil {
			return res, err
		}
		for k, v := range want {
			if k == "status" {
				if number(v) != number(object[k]) {
					return res, nil
				}
			} else if s, _ := v.(string); flow.ErrorType(s) != object[k] {
				return res, nil
			}
		}
	}
	ok, err := conditions(c.When, c.ExceptWhen, in, vars)
	if err != nil || !ok {
		return res, err
	}
	res.Caught = true
	if c.Retry == nil || c.Retry.Attempts > 0 && req.Index >= c.Retry.Attempts {
		return res, nil
	}
	res.Retry, err = conditions(c.Retry.When, c.Retry.ExceptWhen, in, vars)
	res.Wait = c.Retry.Delay
	return res, err
}

func conditions(when, except *flow.Template, in any, vars map[string]any) (bool, error) {
	if when != nil {
		if ok, err := evaluate(when, in, vars); err != nil || !truth(ok) {
			return false, err
		}
	}
	if except != nil {
		if ok, err := evaluate(except, in, vars); err != nil || truth(ok) {
			return false, err
		}
	}
	return true, nil
}

func duration(t *flow.Template, in any, vars map[string]any) (time.Duration, error) {
	v, err := evaluate(t, in, vars)
	if err != nil {
		return 0, err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return 0, err
	}
	d, err := flow.ParseDuration(text)
	if err != nil {
		return 0, &problem{kind: "configuration", detail: err.Error()}
	}
	return d, nil
}

// count says how often a step of a key's phase was performed.
func (x *reference) count(phase task.Phase) int {
	n := 0
	for i := range x.asked {
		if x.asked[i].Phase == phase {
			n++
		}
	}
	return n
}

func (x *reference) keys() []string {
	keys := make([]string, len(x.asked))
	for i := range x.asked {
		keys[i] = x.asked[i].Key
	}
	slices.Sort(keys)
	return keys
}
