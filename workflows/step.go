package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// withOptions sets how activities are performed, once for all runs of a carrier.
func withOptions(ctx workflow.Context) workflow.Context {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: task.LocalLimit,
		StartToCloseTimeout:    task.LocalLimit,
		// A second local attempt would hold the workflow task, and with it every
		// other run of the carrier: what fails goes on as a regular activity.
		RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: task.StepLimit,
		HeartbeatTimeout:    task.HeartbeatTimeout,
		// Errors here are those of the infrastructure, never of the run: they are
		// waited out, however long that takes.
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    200 * time.Millisecond,
			BackoffCoefficient: 2,
			MaximumInterval:    30 * time.Second,
		},
	})
}

// slowPause keeps a step that is answered "slow" by the regular activity, too,
// from spinning.
const slowPause = time.Second

// step performs one phase of a task: it is where a run meets its journal, its
// deadlines and the handover to a new execution. The request's place is
// filled in from s. The outcome is proceed, or why the walk cannot go on from here.
func (r *run) step(ctx workflow.Context, s scope, req task.StepRequest) (task.StepResult, outcome) {
	if res, ok := r.recalled[req.Key]; ok {
		delete(r.recalled, req.Key)
		return res, settle(res, req.Context)
	}
	if d := r.passed(); d != nil {
		return task.StepResult{}, outcome{ending: expired, deadline: d}
	}
	if r.carrier.handingOver(ctx) {
		return task.StepResult{}, outcome{ending: parked}
	}
	req = r.placed(s, req)
	var res task.StepResult
	if o := r.ask(ctx, req, &res); o.ending != proceed {
		return res, o
	}
	for res.Slow {
		// The call waits for its turn: no activity waits with it.
		if o := r.sleep(ctx, res.Wait); o.ending != proceed {
			return res, o
		}
		res = task.StepResult{}
		if o := r.regular(ctx, task.Step, req, &res); o.ending != proceed {
			return res, o
		}
		if res.Slow && res.Wait == 0 {
			if o := r.sleep(ctx, slowPause); o.ending != proceed {
				return res, o
			}
		}
	}
	r.take(req, &res)
	return res, settle(res, req.Context)
}

// ask asks for a step, or takes the answer that came before the walk began.
func (r *run) ask(ctx workflow.Context, req task.StepRequest, res *task.StepResult) outcome {
	if r.first != nil {
		*res, r.first = *r.first, nil
		return outcome{}
	}
	r.carrier.asked += 1 + len(req.Following)
	return r.call(ctx, task.Step, req, res)
}

// placed fills the request's place in.
func (r *run) placed(s scope, req task.StepRequest) task.StepRequest {
	req.Owner, req.Pointer, req.Vars = r.owner, s.pointer, s.variables()
	return req
}

// settle turns a decision into an outcome. A faulted step leaves the context alone.
func settle(res task.StepResult, context task.Ref) outcome {
	switch {
	case res.Stopped:
		return outcome{ending: stopped}
	case res.Fault != nil:
		return outcome{ending: faulted, fault: res.Fault, context: context}
	}
	return outcome{}
}

// call performs a request inside the workflow task, or, when the infrastructure
// fails it there, as a regular activity.
func (r *run) call(ctx workflow.Context, name string, req, res any) outcome {
	o, err := r.await(ctx, res, func(ctx workflow.Context) workflow.Future {
		return workflow.ExecuteLocalActivity(ctx, name, req)
	})
	if err == nil {
		return o
	}
	if ctx.Err() != nil {
		return outcome{ending: stopped}
	}
	return r.regular(ctx, name, req, res)
}

// regular performs a request as a regular activity, which may take its time.
func (r *run) regular(ctx workflow.Context, name string, req, res any) outcome {
	o, err := r.await(ctx, res, func(ctx workflow.Context) workflow.Future {
		return workflow.ExecuteActivity(ctx, name, req)
	})
	if err == nil {
		return o
	}
	if ctx.Err() != nil {
		return outcome{ending: stopped}
	}
	// Only an error marked as final gets here: repeating the request is no use.
	return breach(flow.TypeRuntime, 500, "", "a step could not be performed")
}

// sleep waits for a timer; a handover ends it, since a wait's journalled
// instant says in the next execution how much of it is left.
func (r *run) sleep(ctx workflow.Context, d time.Duration) outcome {
	if d <= 0 {
		return outcome{}
	}
	if p := r.passed(); p != nil {
		return outcome{ending: expired, deadline: p}
	}
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	timer := workflow.NewTimer(ctx, d)
	var o outcome
	selector := workflow.NewSelector(ctx)
	selector.AddFuture(timer, func(f workflow.Future) {
		if f.Get(ctx, nil) != nil {
			o.ending = stopped
		}
	})
	selector.AddFuture(r.carrier.handing, func(workflow.Future) { o.ending = parked })
	r.watch(selector, &o)
	selector.Select(ctx)
	return o
}

// await performs one activity, unless a deadline passes first: then the activity
// is canceled and its answer no longer counts.
func (r *run) await(ctx workflow.Context, res any, start func(workflow.Context) workflow.Future) (outcome, error) {
	if len(r.deadlines) == 0 {
		return outcome{}, start(ctx).Get(ctx, res)
	}
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	var (
		o   outcome
		err error
	)
	selector := workflow.NewSelector(ctx)
	// First, so that an answer that came in time counts.
	selector.AddFuture(start(ctx), func(f workflow.Future) { err = f.Get(ctx, res) })
	r.watch(selector, &o)
	selector.Select(ctx)
	return o, err
}

// remember reads the journal back for a run that was worked on before.
func (r *run) remember(ctx workflow.Context) outcome {
	if !r.recall {
		return outcome{}
	}
	r.recalled = make(map[string]task.StepResult)
	req := task.RecallRequest{Owner: r.owner}
	for {
		var page task.RecallResult
		if o := r.call(ctx, task.Recall, req, &page); o.ending != proceed {
			return o
		}
		if page.Stopped {
			return outcome{ending: stopped}
		}
		for _, s := range page.Steps {
			r.recalled[s.Key] = s.Result
		}
		if page.Next == "" {
			return outcome{}
		}
		req.After = page.Next
	}
}
