package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/tenonhq/tenon/activities/platform"
	"github.com/tenonhq/tenon/schema/task"
	"github.com/tenonhq/tenon/schema/token"
	"github.com/tenonhq/tenon/worker/engine"
)

// asEngine makes the test binary the program itself.
const asEngine = "TENON_TEST_AS_ENGINE"

const (
	namespace = "org_test"
	retention = 24 * time.Hour
	canary    = "canary-7be2"
)

func TestMain(m *testing.M) {
	if os.Getenv(asEngine) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is the program, running.
type process struct {
	cmd  *exec.Cmd
	at   addresses
	logs *buffer
	done chan error
}

// buffer is a log that is read while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// start runs the program with its configuration on an inherited descriptor,
// and waits for its line.
func start(t *testing.T, set settings) *process {
	t.Helper()
	text, err := json.Marshal(set)
	require.NoError(t, err)
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _ = reader.Close() }()
	p := &process{logs: new(buffer), done: make(chan error, 1)}
	p.cmd = exec.Command(os.Args[0], "--config-fd", "3") // The test binary itself; signals end it.
	p.cmd.Env = append(os.Environ(), asEngine+"=1")
	p.cmd.ExtraFiles = []*os.File{reader}
	p.cmd.Stderr = p.logs
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	_, err = writer.Write(text)
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	line, err := bufio.NewReader(out).ReadBytes('\n')
	go func() {
		_, _ = io.Copy(io.Discard, out)
		p.done <- p.cmd.Wait()
	}()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	require.NoError(t, err, "%s", p.logs)
	require.NoError(t, json.Unmarshal(line, &p.at))
	return p
}

// end sends a signal and waits.
func (p *process) end(t *testing.T, signal os.Signal) error {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(signal))
	select {
	case err := <-p.done:
		return err
	case <-time.After(15 * time.Second):
		t.Fatalf("the engine did not end: %s", p.logs)
		return nil
	}
}

// installation is a signing key and the settings of an engine that trusts it.
func installation(t *testing.T) (token.Signer, settings) {
	t.Helper()
	signer, err := token.NewSigner()
	require.NoError(t, err)
	verifier := filepath.Join(t.TempDir(), "engine.pub")
	require.NoError(t, token.WriteVerifier(verifier, signer.Verifier()))
	return signer, settings{Directory: filepath.Join(t.TempDir(), "engine"), Verifier: verifier, UI: "127.0.0.1:0"}
}

func connect(t *testing.T, p *process, signer token.Signer) client.Client {
	t.Helper()
	bearer, err := signer.Mint(token.Claims{Subject: "test", Role: token.RoleSystem, Expires: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	options := client.Options{HostPort: p.at.Frontend, Namespace: namespace, Credentials: client.NewAPIKeyStaticCredentials(bearer), Logger: sdklog.NewStructuredLogger(discard())}
	options.ConnectionOptions.TLSDisabled = true
	c, err := client.Dial(options)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// waiting is a workflow that ends with what it is signalled.
func waiting(ctx workflow.Context) (string, error) {
	var more string
	workflow.GetSignalChannel(ctx, "more").Receive(ctx, &more)
	return more, nil
}

// Workflows go on after the engine drained, and after it was killed at once;
// a killed engine is ready again as fast.
func TestRestartKeepsWorkflows(t *testing.T) {
	t.Parallel()
	keepsWorkflows(t, func(*settings) {})
}

func keepsWorkflows(t *testing.T, change func(*settings)) {
	t.Helper()
	signer, set := installation(t)
	change(&set)
	p := start(t, set)
	c := connect(t, p, signer)
	require.NoError(t, platform.EnsureNamespace(t.Context(), c, namespace, retention))
	for _, id := range []string{"drained", "killed"} {
		_, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
			ID: id, TaskQueue: task.Queue,
			TypedSearchAttributes: temporal.NewSearchAttributes(temporal.NewSearchAttributeKeyKeywordList(task.RunsAttribute).ValueSet([]string{"run_" + id})),
		}, waiting)
		require.NoError(t, err)
	}
	for _, how := range []struct {
		id     string
		signal os.Signal
	}{{"drained", syscall.SIGTERM}, {"killed", syscall.SIGKILL}} {
		err := p.end(t, how.signal)
		if how.signal == syscall.SIGTERM {
			require.NoError(t, err, "%s", p.logs)
		}
		p = start(t, set)
		c = connect(t, p, signer)
		w := worker.New(c, task.Queue, worker.Options{})
		w.RegisterWorkflow(waiting)
		require.NoError(t, w.Start())
		require.NoError(t, c.SignalWorkflow(t.Context(), how.id, "", "more", how.id))
		var said string
		require.NoError(t, c.GetWorkflow(t.Context(), how.id, "").Get(t.Context(), &said))
		w.Stop()
		assert.Equal(t, how.id, said)
	}
	// By whatever it is looked for, whether there is an index or not.
	for query, count := range map[string]int64{
		"RootWorkflowId = 'killed'": 1, "ParentWorkflowId IS NULL": 2, "HistoryLength > 1": 2, "HistorySizeBytes > 1": 2,
		"StateTransitionCount > 1": 2, "ExecutionDuration > 0": 2, "ExecutionTime > '2000-01-01T00:00:00Z'": 2,
	} {
		require.Eventually(t, func() bool {
			answer, err := c.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{
				Namespace: namespace, Query: query + " AND CloseTime IS NOT NULL",
			})
			return err == nil && answer.GetCount() == count
		}, 10*time.Second, 20*time.Millisecond, query)
	}
	require.NoError(t, p.end(t, syscall.SIGTERM), "%s", p.logs)
}

// The file of another server version is set aside, said so, and replaced.
func TestOtherVersionIsSetAside(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(directory string) error{
		"an older version": func(d string) error { return os.WriteFile(filepath.Join(d, "version"), []byte("1.0.0\n"), 0o600) },
		"no version":       func(d string) error { return os.Remove(filepath.Join(d, "version")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signer, set := installation(t)
			p := start(t, set)
			require.NoError(t, platform.EnsureNamespace(t.Context(), connect(t, p, signer), namespace, retention))
			require.NoError(t, p.end(t, syscall.SIGTERM))
			require.NoError(t, spoil(set.Directory))

			p = start(t, set)
			c := connect(t, p, signer)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "x", TaskQueue: task.Queue}, waiting)
			require.ErrorContains(t, err, "not found", "the fresh file knows no namespace")
			require.NoError(t, platform.EnsureNamespace(ctx, c, namespace, retention))
			assert.Contains(t, p.logs.String(), "set aside")
			aside, err := filepath.Glob(filepath.Join(set.Directory, "temporal.db.*Z"))
			require.NoError(t, err)
			assert.Len(t, aside, 1)
			pinned, err := os.ReadFile(filepath.Join(set.Directory, "version"))
			require.NoError(t, err)
			assert.Equal(t, engine.Version, strings.TrimSpace(string(pinned)))
			require.NoError(t, p.end(t, syscall.SIGTERM))
		})
	}
}

// The engine's files are its user's own.
func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	_, set := installation(t)
	start(t, set)
	entries, err := os.ReadDir(set.Directory)
	require.NoError(t, err)
	require.NotEmpty(t, entries)
	for _, entry := range entries {
		info, err := entry.Info()
		require.NoError(t, err)
		assert.Zero(t, info.Mode().Perm()&0o077, "%s is %s", entry.Name(), info.Mode())
	}
}

// A bad configuration is refused with the setting's name and without its value.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing":         ``,
		"no object":       `["` + canary + `"]`,
		"unknown":         `{"password":"` + canary + `"}`,
		"wrong type":      `{"directory":{"x":"` + canary + `"}}`,
		"two":             `{}{"x":"` + canary + `"}`,
		"broken":          `{"postgres_url":"` + canary,
		"wrong the other": `{"postgres_url":["` + canary + `"]}`,
	} {
		_, err := parse([]byte(text))
		require.Error(t, err, name)
		assert.NotContains(t, err.Error(), canary, name)
	}
}

// FuzzParse: no bytes make the parser panic or quote a secret.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"directory":"/x","verifier":"/y"}`))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = parse(text) })
}
