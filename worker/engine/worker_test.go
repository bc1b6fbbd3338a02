package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"

	"github.com/tenonhq/tenon/activities/platform"
	"github.com/tenonhq/tenon/schema/task"
	"github.com/tenonhq/tenon/schema/token"
	platformflows "github.com/tenonhq/tenon/workflows/platform"
)

// canary is a secret that must stand nowhere in the engine in clear.
const canary = "canary-4e1c90b7"

// greet is a local activity.
func greet(_ context.Context, name string) (string, error) { return "hello " + name, nil }

// fail is one whose error carries what must not be kept in clear.
func fail(context.Context) error {
	return temporal.NewNonRetryableApplicationError("failed on "+canary, "test", nil, canary)
}

// greeting runs a local activity and waits for a signal when asked to.
func greeting(ctx workflow.Context, name string, wait bool) (string, error) {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Second})
	var said string
	if err := workflow.ExecuteLocalActivity(ctx, greet, name).Get(ctx, &said); err != nil {
		return "", err
	}
	if wait {
		var more string
		workflow.GetSignalChannel(ctx, "more").Receive(ctx, &more)
		said += more
	}
	return said, nil
}

// failing ends with the error of its activity.
func failing(ctx workflow.Context) error {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Second})
	return workflow.ExecuteLocalActivity(ctx, fail).Get(ctx, nil)
}

// startWorker runs a real worker of a cell.
func startWorker(t *testing.T, c client.Client) {
	t.Helper()
	w := worker.New(c, task.Queue, worker.Options{WorkerStopTimeout: time.Second})
	w.RegisterWorkflow(greeting)
	w.RegisterWorkflow(failing)
	w.RegisterActivityWithOptions(greet, activity.RegisterOptions{Name: "greet"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
}

// runs names the runs that a workflow carries.
func runs(ids ...string) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(temporal.NewSearchAttributeKeyKeywordList(task.RunsAttribute).ValueSet(ids))
}

// A cell's token is enough for a cell's work: a worker, eager start, local
// activities, search by run id, a schedule of nothing else.
func TestCellWorks(t *testing.T) {
	t.Parallel()
	c := newCell(t, shared)
	own := c.client(t, shared)
	startWorker(t, own)

	run, err := own.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "car_1", TaskQueue: task.Queue, EnableEagerStart: true,
		WorkflowTaskTimeout:   task.WorkflowTaskTimeout,
		TypedSearchAttributes: runs("run_a", "run_b"),
		Memo:                  map[string]any{"runs": canary},
	}, greeting, canary, false)
	require.NoError(t, err)
	var said string
	require.NoError(t, run.Get(t.Context(), &said))
	assert.Equal(t, "hello "+canary, said)

	require.EventuallyWithT(t, func(t *assert.CollectT) {
		found, err := countRuns(own, c.org, "run_b")
		assert.NoError(t, err)
		assert.Equal(t, int64(1), found)
	}, 10*time.Second, 20*time.Millisecond)
}

// Invariant 3: what the engine keeps of inputs, results, memos and failures is sealed.
func TestHistoryIsSealed(t *testing.T) {
	t.Parallel()
	c := newCell(t, shared)
	own := c.client(t, shared)
	startWorker(t, own)
	for id, start := range map[string]func() (client.WorkflowRun, error){
		"car_ok": func() (client.WorkflowRun, error) {
			return own.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "car_ok", TaskQueue: task.Queue, Memo: map[string]any{"m": canary}}, greeting, canary, false)
		},
		"car_failed": func() (client.WorkflowRun, error) {
			return own.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "car_failed", TaskQueue: task.Queue}, failing)
		},
	} {
		run, err := start()
		require.NoError(t, err)
		err = run.Get(t.Context(), nil)
		if id == "car_failed" {
			require.ErrorContains(t, err, canary, "the cell itself reads its failure")
		} else {
			require.NoError(t, err)
		}
		events := own.GetWorkflowHistory(t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			require.NoError(t, err)
			kept, err := proto.Marshal(event)
			require.NoError(t, err)
			assert.NotContains(t, string(kept), canary, "event %s", event.GetEventType())
		}
	}
}

// A namespace can be used the moment that EnsureNamespace returns, by every
// service, and asking again changes nothing.
func TestNamespaceIsReadyAtOnce(t *testing.T) {
	t.Parallel()
	fastest := time.Hour
	for range 10 {
		began := time.Now()
		c := newCell(t, shared)
		own := c.client(t, shared)
		_, err := own.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
			ID: "car_1", TaskQueue: task.Queue, TypedSearchAttributes: runs("run_a"),
		}, greeting, "x", false)
		require.NoError(t, err)
		fastest = min(fastest, time.Since(began))
		require.NoError(t, platform.EnsureNamespace(t.Context(), system(t, shared), c.org, retention))
	}
	// On a busy machine one may be slow; a wait for a cache would slow them all.
	assert.Less(t, fastest, time.Second)
}

// Schedules are Temporal's own, in the platform's namespace, with a system token.
func TestScheduleFires(t *testing.T) {
	t.Parallel()
	admin := system(t, shared)
	require.NoError(t, platform.EnsureNamespace(t.Context(), admin, platformflows.Namespace, retention))
	fired := make(chan string, 1)
	w := worker.New(admin, "platform", worker.Options{})
	w.RegisterWorkflowWithOptions(func(workflow.Context) error { return nil }, workflow.RegisterOptions{Name: "platform.fire"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	handle, err := admin.ScheduleClient().Create(t.Context(), client.ScheduleOptions{
		ID:                 "schedule-" + strings.ToLower(t.Name()),
		TriggerImmediately: true,
		Action:             &client.ScheduleWorkflowAction{ID: "fired", Workflow: "platform.fire", TaskQueue: "platform"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = handle.Delete(context.Background()) })
	go func() {
		for t.Context().Err() == nil {
			about, err := handle.Describe(t.Context())
			if err == nil && len(about.Info.RecentActions) > 0 {
				fired <- about.Info.RecentActions[0].StartWorkflowResult.WorkflowID
				return
			}
		}
	}()
	select {
	case id := <-fired:
		require.NoError(t, admin.GetWorkflow(t.Context(), id, "").Get(t.Context(), nil))
	case <-time.After(30 * time.Second):
		t.Fatal("the schedule did not fire")
	}
}

// An operator reads, signals, cancels and terminates, and neither polls nor starts.
func TestOperatorActs(t *testing.T) {
	t.Parallel()
	c := newCell(t, shared)
	own := c.client(t, shared)
	startWorker(t, own)
	run, err := own.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "car_1", TaskQueue: task.Queue}, greeting, "x", true)
	require.NoError(t, err)

	operator := dial(t, shared.engine.Frontend(), mint(t, shared.signer, token.RoleOperator, c.org), client.Options{Namespace: c.org})
	_, err = operator.DescribeWorkflowExecution(t.Context(), "car_1", "")
	require.NoError(t, err)
	_, err = operator.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "car_2", TaskQueue: task.Queue}, greeting, "x", false)
	require.ErrorContains(t, err, "unauthorized")

	// The operator's tools encode through the codec endpoint; here the cell's
	// own codec stands for it.
	require.NoError(t, c.client(t, shared).SignalWorkflow(t.Context(), "car_1", "", "more", " and more"))
	var said string
	require.NoError(t, run.Get(t.Context(), &said))
	assert.Equal(t, "hello x and more", said)

	_, err = own.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "car_3", TaskQueue: task.Queue}, greeting, "x", true)
	require.NoError(t, err)
	require.NoError(t, operator.CancelWorkflow(t.Context(), "car_3", ""))
	require.NoError(t, operator.TerminateWorkflow(t.Context(), "car_3", "", "enough"))
}
