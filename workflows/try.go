package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// try performs the tasks of a try until they succeed, or until an error is
// either handled or nobody's.
func (r *run) try(ctx workflow.Context, s scope, t *flow.Try, entered, context task.Ref) outcome {
	started := workflow.Now(ctx)
	for n := 0; ; n++ {
		attempt := s.attempt(n)
		if n > 0 {
			if o := r.tick(s.pointer); o.ending != proceed {
				return o
			}
		}
		// Every attempt begins with what entered the try: the same input and
		// context make the same requests, which the ledger knows again. Invariant 7.
		o := r.attempt(ctx, attempt, t, entered, context)
		if o.ending != faulted {
			return o
		}
		verdict, decided := judge(t.Catch, o.fault)
		if !decided {
			asking := attempt
			if o.fault.Ref != "" {
				asking = asking.bind(t.Catch.As, o.fault.Ref)
			}
			res, asked := r.step(ctx, asking, task.StepRequest{
				Phase: task.PhaseCatch, Key: attempt.path + ":catch",
				Input: entered, Entered: entered, Context: o.context,
				Index: n, Fault: o.fault, Started: started,
			})
			if asked.ending != proceed {
				return asked
			}
			verdict = res
		}
		switch {
		case !verdict.Caught:
			return o
		case verdict.Retry:
			if slept := r.sleep(ctx, verdict.Wait); slept.ending != proceed {
				return slept
			}
		case len(t.Catch.Do) > 0:
			return r.list(ctx, s.bind(t.Catch.As, verdict.Output), t.Catch.Do, entered, o.context, false)
		case t.Catch.Retry != nil:
			return o // given up: what retrying could not cure is not swallowed
		default:
			return outcome{data: entered, context: o.context}
		}
	}
}

// attempt performs the tasks once, within the limit of one attempt.
func (r *run) attempt(ctx workflow.Context, s scope, t *flow.Try, entered, context task.Ref) outcome {
	body := func(ctx workflow.Context) outcome { return r.list(ctx, s, t.Do, entered, context, false) }
	if t.Catch.Retry == nil || t.Catch.Retry.AttemptDuration <= 0 {
		return body(ctx)
	}
	return r.within(ctx, s, limit{
		key: s.path + ":attempt", expiry: s.path + ":overrun",
		input: entered, context: context, attempt: t.Catch.Retry.AttemptDuration,
	}, body)
}
