package workflows

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

const twoTasks = head + `
do:
  - a: {set: {n: '${ .n + 1 }'}}
  - b: {set: {n: '${ .n + 1 }'}}`

// TestRunsAreApart: of the runs that one carrier carries, one that faults, one
// that stops and one that never ends do not touch the others.
func TestRunsAreApart(t *testing.T) {
	t.Parallel()
	lib, digest := parse(t, twoTasks)
	x := newReference(lib)
	in := carrying(digest)
	for i := range 16 {
		id := fmt.Sprintf("run%d", i)
		x.input[id] = map[string]any{"n": float64(i)}
		in.Runs = append(in.Runs, task.RunRef{Run: id, Digest: digest, Epoch: 1})
	}
	x.input["run3"] = map[string]any{"n": "no number"}
	step := func(ctx context.Context, req task.StepRequest) (task.StepResult, error) {
		if req.Owner.Run == "run5" {
			return task.StepResult{Stopped: true}, nil
		}
		return x.Step(ctx, req)
	}
	env := environment(lib, performer{step: step, finish: x.Finish, recall: x.Recall})
	x.clock = env.Now
	env.ExecuteWorkflow(task.Carrier, in)
	require.NoError(t, env.GetWorkflowError())
	assert.Len(t, x.ended, 15)
	assert.NotContains(t, x.ended, "run5")
	assert.NotNil(t, x.ended["run3"].fault)
	require.NoError(t, same(`{n: 17}`, x.ended["run15"].output))
}

// TestUnknownInterpreter: a carrier of another interpreter's is refused for good.
func TestUnknownInterpreter(t *testing.T) {
	t.Parallel()
	lib, digest := parse(t, twoTasks)
	env := newReference(lib).environment()
	in := carrying(digest, "run")
	in.Interpreter = task.InterpreterVersion + 1
	env.ExecuteWorkflow(task.Carrier, in)
	var failure *temporal.ApplicationError
	require.ErrorAs(t, env.GetWorkflowError(), &failure)
	assert.True(t, failure.NonRetryable())
}

// TestCancellation: a canceled carrier stops its runs wherever they are, and
// records nothing.
func TestCancellation(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"do: [{w: {wait: {days: 1}}}]",
		"timeout: {after: {days: 2}}\ndo: [{w: {wait: {days: 1}, timeout: {after: {days: 3}}}}]",
		`do: [{t: {try: [{r: {raise: {error: {type: 'https://example.com/e', status: 400}}}}], catch: {retry: {delay: {days: 1}}}}}]`,
	} {
		lib, digest := parse(t, head+text)
		x := newReference(lib)
		env := x.environment()
		env.RegisterDelayedCallback(env.CancelWorkflow, time.Hour)
		env.ExecuteWorkflow(task.Carrier, carrying(digest, "run"))
		require.True(t, env.IsWorkflowCompleted())
		var canceled *temporal.CanceledError
		require.ErrorAs(t, env.GetWorkflowError(), &canceled)
		assert.Empty(t, x.ended)
		assert.Less(t, x.count(task.PhaseExpire), 1)
	}
}

// TestSlowAndFailing: what is slow, or what the infrastructure fails as a local
// activity, goes on as a regular one until it is answered.
func TestSlowAndFailing(t *testing.T) {
	t.Parallel()
	lib, digest := parse(t, twoTasks)
	x := newReference(lib)
	x.input["run"] = map[string]any{"n": 1.0}
	var local, regular int
	step := func(ctx context.Context, req task.StepRequest) (task.StepResult, error) {
		if activity.GetInfo(ctx).IsLocalActivity {
			local++
			if local == 1 {
				return task.StepResult{Slow: true}, nil
			}
			return task.StepResult{}, errors.New("the database is away")
		}
		req.Following, req.Finishes = nil, false
		regular++
		switch regular {
		case 1, 2:
			return task.StepResult{Slow: true}, nil
		case 4, 5, 6:
			return task.StepResult{}, errors.New("the database is still away")
		}
		return x.Step(ctx, req)
	}
	failures := 3
	finish := func(ctx context.Context, req task.FinishRequest) error {
		if failures > 0 {
			failures--
			return errors.New("the database is away again")
		}
		return x.Finish(ctx, req)
	}
	env := environment(lib, performer{step: step, finish: finish, recall: x.Recall})
	x.clock = env.Now
	env.ExecuteWorkflow(task.Carrier, carrying(digest, "run"))
	require.NoError(t, env.GetWorkflowError())
	require.NoError(t, same(`{n: 3}`, x.ended["run"].output))
	assert.Equal(t, 2, local)
	assert.Equal(t, 7, regular)
}

// TestFinalError: a step that can never be performed ends its run only.
func TestFinalError(t *testing.T) {
	t.Parallel()
	lib, digest := parse(t, twoTasks)
	x := newReference(lib)
	x.input["good"], x.input["bad"] = map[string]any{"n": 1.0}, map[string]any{"n": 1.0}
	step := func(ctx context.Context, req task.StepRequest) (task.StepResult, error) {
		if req.Owner.Run == "bad" {
			return task.StepResult{}, temporal.NewNonRetryableApplicationError("no", "no", nil)
		}
		return x.Step(ctx, req)
	}
	env := environment(lib, performer{step: step, finish: x.Finish, recall: x.Recall})
	x.clock = env.Now
	env.ExecuteWorkflow(task.Carrier, carrying(digest, "good", "bad"))
	require.NoError(t, env.GetWorkflowError())
	assert.Nil(t, x.ended["good"].fault)
	assert.Equal(t, flow.TypeRuntime, x.ended["bad"].fault["type"])
}

// TestTimedOutCall: the deadline leaves a call that is under way behind, and its
// answer, when it comes at last, no longer counts.
func TestTimedOutCall(t *testing.T) {
	t.Parallel()
	lib, digest := parse(t, head+`
do:
  - t:
      try:
        - slow: {call: http, with: {method: get, endpoint: 'https://example.com'}, timeout: {after: {milliseconds: 200}}}
      catch: {do: [{handled: {set: {type: '${ $error.type }'}}}]}`)
	x := newReference(lib)
	over := make(chan struct{})
	step := func(ctx context.Context, req task.StepRequest) (task.StepResult, error) {
		if req.Phase != task.PhaseWhole || req.Effect == "" {
			return x.Step(ctx, req)
		}
		if activity.GetInfo(ctx).IsLocalActivity {
			return task.StepResult{Slow: true}, nil
		}
		<-over
		return task.StepResult{Output: "late"}, nil
	}
	finish := func(ctx context.Context, req task.FinishRequest) error {
		close(over)
		return x.Finish(ctx, req)
	}
	env := environment(lib, performer{step: step, finish: finish, recall: x.Recall})
	x.clock = env.Now
	env.ExecuteWorkflow(task.Carrier, carrying(digest, "run"))
	require.NoError(t, env.GetWorkflowError())
	require.NoError(t, same(`{type: '`+flow.TypeTimeout+`'}`, x.ended["run"].output))
}

// TestHandover: when the history grows too long, the open runs go on in a new
// execution, which asks for nothing that was done, and waits for what is left.
func TestHandover(t *testing.T) {
	t.Parallel()
	looping, loop := parse(t, head+`
do:
  - add: {set: {n: '${ .n + 1 }'}}
  - again: {switch: [{more: {when: .n < 40, then: add}}]}`)
	waiting, wait := parse(t, head+`
do:
  - w: {wait: {hours: 10}}
  - done: {set: {ok: true}}`)
	lib := library{loop: looping[loop], wait: waiting[wait]}
	x := newReference(lib)
	x.input["loop"] = map[string]any{"n": 0.0}
	in := carrying(loop, "loop")
	in.Runs = append(in.Runs, task.RunRef{Run: "wait", Digest: wait, Epoch: 1})

	executions := 0
	for now := time.Now(); ; executions++ {
		env := x.environment()
		env.SetStartTime(now)
		env.RegisterWorkflowWithOptions((&interpreter{library: lib, bound: maxSteps, handover: 20}).carry,
			workflow.RegisterOptions{Name: task.Carrier, DisableAlreadyRegisteredCheck: true})
		env.SetContinueAsNewSuggested(true)
		env.ExecuteWorkflow(task.Carrier, in)
		err := env.GetWorkflowError()
		if err == nil {
			break
		}
		var next *workflow.ContinueAsNewError
		require.ErrorAs(t, err, &next)
		in = task.CarrierInput{}
		require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
		now = env.Now()
	}
	assert.Greater(t, executions, 2)
	require.NoError(t, same(`{n: 40}`, x.ended["loop"].output))
	require.NoError(t, same(`{ok: true}`, x.ended["wait"].output))
	keys := map[string]int{}
	for _, req := range x.asked {
		keys[req.Owner.Run+req.Key]++
	}
	for key, n := range keys {
		assert.Equal(t, 1, n, key)
	}
}
