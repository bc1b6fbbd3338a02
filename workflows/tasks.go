package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// task performs one visit of a task. Besides the outcome it gives the directive
// to follow, which is only meant when the outcome is proceed.
func (r *run) task(ctx workflow.Context, s scope, t *flow.Task, data, context task.Ref, next stretch) (o outcome, then string) {
	if o := r.tick(t.Pointer); o.ending != proceed {
		return o, ""
	}
	perform := func(ctx workflow.Context) (o outcome) {
		switch t.Kind {
		case flow.KindSet, flow.KindCall, flow.KindSwitch, flow.KindRaise:
			o, then = r.leaf(ctx, s, t, data, context, next)
		case flow.KindDo, flow.KindTry, flow.KindFor, flow.KindWait:
			o, then = r.composite(ctx, s, t, data, context)
		default:
			o = breach(flow.TypeConfiguration, 400, t.Pointer, "the task is of a kind that this interpreter does not know")
		}
		return o
	}
	if t.Timeout == nil {
		o = perform(ctx)
		return o, then
	}
	l := limit{key: s.path + ":timeout", expiry: s.path + ":expire", input: data, context: context}
	o = r.within(ctx, s, l, perform)
	return o, then
}

// leaf performs a task that is one step.
func (r *run) leaf(ctx workflow.Context, s scope, t *flow.Task, data, context task.Ref, next stretch) (outcome, string) {
	res, o := r.step(ctx, s, r.whole(s, t, data, context, next))
	if o.ending != proceed {
		return o, ""
	}
	if res.Skipped {
		return outcome{data: data, context: context}, ""
	}
	then := t.Then
	if res.Branch != "" {
		then = res.Branch
	}
	return outcome{data: res.Output, context: res.Context}, then
}

// whole is the request of a task that is one step.
func (r *run) whole(s scope, t *flow.Task, data, context task.Ref, next stretch) task.StepRequest {
	req := task.StepRequest{Phase: task.PhaseWhole, Key: s.path, Input: data, Context: context}
	if t.Kind == flow.KindCall {
		req.Effect = s.effect
	}
	if straight(t) {
		req.Following, req.Finishes = r.following(next)
	}
	return req
}

// composite performs a task that has something between its entry and its end:
// other tasks, or time. Entry and end are steps only when the task gives them
// something to do.
func (r *run) composite(ctx workflow.Context, s scope, t *flow.Task, data, context task.Ref) (outcome, string) {
	entered, entry := data, task.StepResult{}
	if t.If != nil || t.Input != nil || t.Kind == flow.KindWait || t.Kind == flow.KindFor {
		var o outcome
		entry, o = r.step(ctx, s, task.StepRequest{
			Phase: task.PhaseEnter, Key: s.path + ":enter", Input: data, Context: context,
		})
		if o.ending != proceed {
			return o, ""
		}
		if entry.Skipped {
			return outcome{data: data, context: context}, ""
		}
		entered = entry.Output
	}

	o := r.inside(ctx, s, t, entry, entered, context)
	if o.ending == exited {
		o.ending = proceed // left its own list, not the one it stands in
	}
	if o.ending != proceed || (t.Output == nil && t.Export == nil) {
		return o, t.Then
	}
	res, left := r.step(ctx, s, task.StepRequest{
		Phase: task.PhaseLeave, Key: s.path + ":leave",
		Input: o.data, Context: o.context, Entered: entered, Raw: data,
	})
	if left.ending != proceed {
		return left, ""
	}
	return outcome{data: res.Output, context: res.Context}, t.Then
}

// inside performs what is between a composite's entry and its end.
func (r *run) inside(ctx workflow.Context, s scope, t *flow.Task, entry task.StepResult, entered, context task.Ref) outcome {
	switch {
	case t.Kind == flow.KindDo:
		return r.list(ctx, s, t.Do, entered, context, false)
	case t.Kind == flow.KindTry && t.Try != nil && t.Try.Catch != nil:
		return r.try(ctx, s, t.Try, entered, context)
	case t.Kind == flow.KindFor && t.For != nil:
		return r.loop(ctx, s, t.For, entry.Count, entered, context)
	case t.Kind == flow.KindWait:
		o := r.sleep(ctx, entry.Wait)
		o.data, o.context = entered, context
		return o
	}
	return breach(flow.TypeConfiguration, 400, t.Pointer, "the task lacks what its kind needs")
}
