package workflows

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// Recording needs a running engine: start one, then
//
//	go test ./workflows -run TestRecord -record 127.0.0.1:7233 -namespace NAME -token FILE
//
// Histories are added when the interpreter learns something new; those that
// are there are never recorded again, since they stand for carriers that may
// still be under way.
var (
	record    = flag.String("record", "", "record missing histories on the engine with this frontend address")
	namespace = flag.String("namespace", "default", "the engine's namespace to record in")
	tokenFile = flag.String("token", "", "a file with the bearer token for the engine")
)

const histories = "testdata/histories"

// corpus gives the library of all documents that histories were recorded with.
func corpus(t *testing.T) (library, map[string]string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(histories, "*.yaml"))
	require.NoError(t, err)
	lib, digests := library{}, map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		d, err := flow.Parse(text)
		require.NoError(t, err, path)
		lib[d.Digest] = d
		digests[strings.TrimSuffix(filepath.Base(path), ".yaml")] = d.Digest
	}
	return lib, digests
}

// TestReplay: the present code walks every recorded history the same way. When
// it fails, carriers under way at an upgrade would break: make the change a new
// version of the interpreter instead.
func TestReplay(t *testing.T) {
	lib, digests := corpus(t)
	require.NotEmpty(t, digests)
	for name := range digests {
		t.Run(name, func(t *testing.T) {
			replayer := worker.NewWorkflowReplayer()
			Register(replayer, lib)
			require.NoError(t, replayer.ReplayWorkflowHistory(quiet{}, load(t, name)))
		})
	}
}

// TestReplayNotices: the harness is not blind; a history does not replay with
// another document than its own.
func TestReplayNotices(t *testing.T) {
	lib, digests := corpus(t)
	other := lib[digests["wait"]]
	lib[digests["sequence"]] = other
	replayer := worker.NewWorkflowReplayer()
	Register(replayer, lib)
	require.Error(t, replayer.ReplayWorkflowHistory(quiet{}, load(t, "sequence")))
}

func load(t *testing.T, name string) *historypb.History {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(histories, name+".json"))
	require.NoError(t, err)
	var h historypb.History
	require.NoError(t, temporalproto.CustomJSONUnmarshalOptions{}.Unmarshal(data, &h))
	return &h
}

// TestRecord runs the corpus' documents that have no history yet on a real
// engine, and keeps their histories.
func TestRecord(t *testing.T) {
	if *record == "" {
		return // asked for explicitly only
	}
	lib, digests := corpus(t)
	options := client.Options{HostPort: *record, Namespace: *namespace, Logger: quiet{}, Identity: "recorder"}
	if *tokenFile != "" {
		token, err := os.ReadFile(*tokenFile)
		require.NoError(t, err)
		options.HeadersProvider = bearer(strings.TrimSpace(string(token)))
	}
	c, err := client.Dial(options)
	require.NoError(t, err)
	defer c.Close()
	for name, digest := range digests {
		if _, err := os.Stat(filepath.Join(histories, name+".json")); err != nil {
			recordOne(t, c, lib, name, digest)
		}
	}
}

type bearer string

func (b bearer) GetHeaders(context.Context) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func recordOne(t *testing.T, c client.Client, lib library, name, digest string) {
	t.Helper()
	x := newReference(lib)
	x.clock = time.Now
	x.input["run"] = map[string]any{"n": 1.0, "list": []any{1.0, 2.0, 3.0}}
	failures := 1
	x.call = func(_ *flow.Task, with any) (any, error) {
		if failures > 0 {
			failures--
			return nil, &problem{kind: "communication", status: 503}
		}
		return with, nil
	}
	slow := func(ctx context.Context, req task.StepRequest) (task.StepResult, error) {
		if strings.HasSuffix(req.Pointer, "/slow") && activity.GetInfo(ctx).IsLocalActivity {
			return task.StepResult{Slow: true}, nil
		}
		return x.Step(ctx, req)
	}
	queue := "record-" + name
	w := worker.New(c, queue, worker.Options{})
	Register(w, lib)
	w.RegisterActivityWithOptions(slow, activity.RegisterOptions{Name: task.Step})
	w.RegisterActivityWithOptions(performer{step: slow}.stretches, activity.RegisterOptions{Name: task.Stretches})
	w.RegisterActivityWithOptions(x.Finish, activity.RegisterOptions{Name: task.Finish})
	w.RegisterActivityWithOptions(x.Recall, activity.RegisterOptions{Name: task.Recall})
	require.NoError(t, w.Start())
	defer w.Stop()
	in := carrying(digest, "run")
	if strings.HasPrefix(name, "many") {
		in = carrying(digest, "run", "run2", "run3")
		x.input["run2"], x.input["run3"] = x.input["run"], map[string]any{"n": "none"}
	}
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: queue + time.Now().Format("-150405.000"), TaskQueue: queue, WorkflowTaskTimeout: task.WorkflowTaskTimeout,
	}, task.Carrier, in)
	require.NoError(t, err)
	require.NoError(t, run.Get(t.Context(), nil))
	var h historypb.History
	for events := c.GetWorkflowHistory(t.Context(), run.GetID(), run.GetRunID(), false, 0); events.HasNext(); {
		e, err := events.Next()
		require.NoError(t, err)
		h.Events = append(h.Events, e)
	}
	data, err := temporalproto.CustomJSONMarshalOptions{Indent: " "}.Marshal(&h)
	require.NoError(t, err)
	// The name of a worker's own queue holds the machine's, which is nobody's business.
	host, err := os.Hostname()
	require.NoError(t, err)
	data = bytes.ReplaceAll(data, []byte(host), []byte("recorder"))
	require.NoError(t, os.WriteFile(filepath.Join(histories, name+".json"), data, 0o600))
}
