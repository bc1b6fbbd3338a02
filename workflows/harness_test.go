package workflows

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// performer is the activities' side of a carrier. Stretches are steps.
type performer struct {
	step           func(context.Context, task.StepRequest) (task.StepResult, error)
	finish, recall any
}

// stretches answers as the executor does: nothing for what fails.
func (p performer) stretches(ctx context.Context, req task.StretchesRequest) (task.StretchesResult, error) {
	out := task.StretchesResult{Answers: make([]*task.StepResult, len(req.Steps))}
	for i, q := range req.Steps {
		if r, err := p.step(ctx, q); err == nil {
			out.Answers[i] = &r
		}
	}
	return out, nil
}

// environment is a test environment with the interpreter and a performer.
func environment(lib Library, p performer) *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	env := suite.NewTestWorkflowEnvironment()
	// Virtual time: a year of waiting is no time at all.
	env.SetWorkflowRunTimeout(10 * 365 * 24 * time.Hour)
	env.SetTestTimeout(time.Minute)
	Register(env, lib)
	env.RegisterActivityWithOptions(p.step, activity.RegisterOptions{Name: task.Step})
	env.RegisterActivityWithOptions(p.stretches, activity.RegisterOptions{Name: task.Stretches})
	env.RegisterActivityWithOptions(p.finish, activity.RegisterOptions{Name: task.Finish})
	env.RegisterActivityWithOptions(p.recall, activity.RegisterOptions{Name: task.Recall})
	return env
}

// quiet keeps the engine's client from logging.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

// environment is a test environment with the reference as its activities.
func (x *reference) environment() *testsuite.TestWorkflowEnvironment {
	env := environment(x.lib, performer{step: x.Step, finish: x.Finish, recall: x.Recall})
	x.clock = env.Now
	return env
}

// carrying is the input of a carrier of runs of one document.
func carrying(digest string, runs ...string) task.CarrierInput {
	in := task.CarrierInput{Organization: "org_test", Carrier: "car_test", Interpreter: task.InterpreterVersion}
	for _, id := range runs {
		in.Runs = append(in.Runs, task.RunRef{Run: id, Digest: digest, Epoch: 1})
	}
	return in
}

// parse reads a YAML document and puts it into a library of its own.
func parse(t testing.TB, text string) (library, string) {
	t.Helper()
	d, err := flow.Parse([]byte(text))
	require.NoError(t, err)
	return library{d.Digest: d}, d.Digest
}

// perform executes one run of a document to its end.
func perform(t testing.TB, text string, input any, prepare ...func(*reference)) (*reference, conclusion) {
	t.Helper()
	lib, digest := parse(t, text)
	x := newReference(lib)
	x.input["run"] = input
	for _, p := range prepare {
		p(x)
	}
	env := x.environment()
	env.ExecuteWorkflow(task.Carrier, carrying(digest, "run"))
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	end, ok := x.ended["run"]
	require.True(t, ok, "the run did not end")
	return x, end
}
