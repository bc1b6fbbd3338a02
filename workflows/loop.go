package workflows

import (
	"bytes"

	"go.temporal.io/sdk/workflow"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// loop performs a for: each pass has the output of the one before as its input.
func (r *run) loop(ctx workflow.Context, s scope, f *flow.For, count int, entered, context task.Ref) outcome {
	items := r.needsItems(f)
	data := entered
	for i := range count {
		if o := r.tick(s.pointer); o.ending != proceed {
			return o
		}
		pass := s.iteration(i)
		if items {
			res, o := r.step(ctx, pass, task.StepRequest{
				Phase: task.PhaseItem, Key: pass.path + ":item", Index: i,
				Input: data, Context: context, Entered: entered, Collection: task.Ref(s.path + ":enter"),
			})
			if o.ending != proceed {
				return o
			}
			if res.Stop {
				break
			}
			pass = pass.bind(f.Each, res.Output).bind(f.At, res.At)
		}
		o := r.list(ctx, pass, f.Do, data, context, false)
		switch o.ending {
		case proceed:
			data, context = o.data, o.context
		case exited:
			return outcome{data: o.data, context: o.context}
		case ended, faulted, broken, expired, parked, stopped:
			return o
		}
	}
	return outcome{data: data, context: context}
}

// needsItems reports whether a loop's passes depend on its variables: when its
// tasks mention neither, the step that binds them is saved.
func (r *run) needsItems(f *flow.For) bool {
	if f.While != nil {
		return true
	}
	need, known := r.mentions[f]
	if !known {
		need = mention(f.Do, []byte(f.Each), []byte(f.At))
		if r.mentions == nil {
			r.mentions = make(map[*flow.For]bool)
		}
		r.mentions[f] = need
	}
	return need
}

// mention reports whether any expression within tasks may name one of two
// variables. It errs on the side of yes: a name found anywhere in a template's
// text counts, and so does an escape that may hide one.
func mention(tasks []flow.Task, each, at []byte) bool {
	templates := func(ts ...*flow.Template) bool {
		for _, t := range ts {
			if t == nil || t.Literal {
				continue
			}
			if bytes.Contains(t.JSON, each) || bytes.Contains(t.JSON, at) || bytes.Contains(t.JSON, []byte(`\u`)) {
				return true
			}
		}
		return false
	}
	for i := range tasks {
		t := &tasks[i]
		if templates(t.If, t.Timeout, t.Set, t.Raise, t.Wait) || mention(t.Do, each, at) {
			return true
		}
		if t.Input != nil && templates(t.Input.From) || t.Output != nil && templates(t.Output.As) ||
			t.Export != nil && templates(t.Export.As) || t.Call != nil && templates(&t.Call.With) {
			return true
		}
		for j := range t.Switch {
			if templates(t.Switch[j].When) {
				return true
			}
		}
		if t.For != nil && (templates(&t.For.In, t.For.While) || mention(t.For.Do, each, at)) {
			return true
		}
		if t.Try == nil {
			continue
		}
		if c := t.Try.Catch; mention(t.Try.Do, each, at) || c != nil &&
			(templates(c.With, c.When, c.ExceptWhen) || mention(c.Do, each, at) ||
				c.Retry != nil && templates(c.Retry.When, c.Retry.ExceptWhen)) {
			return true
		}
	}
	return false
}
