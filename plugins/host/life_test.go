package host

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
)

// gone waits until a process has left no trace, not even a zombie.
func gone(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool { return unix.Kill(pid, 0) == unix.ESRCH }, 10*time.Second, 5*time.Millisecond, "process %d lives", pid)
}

func running(t *testing.T, p *Pool) int {
	t.Helper()
	_, err := attack(t.Context(), p, map[string]any{"attack": "stdout"}, nil)
	require.NoError(t, err)
	return p.slots["hostile"].live.process.PID
}

// TestEnds: whoever ends, and however, what it started ends with it.
func TestEnds(t *testing.T) {
	modes(t, func(t *testing.T, l *Launcher, full bool) {
		p := pool(t, l, entry(t), nil)
		pid := running(t, p)
		p.slots["hostile"].live.end()
		gone(t, pid)

		q := pool(t, l, entry(t), nil)
		pid = running(t, q)
		require.NoError(t, l.cmd.Process.Kill())
		gone(t, pid)
		<-l.Gone()
		_, err := attack(t.Context(), q, map[string]any{"attack": "stdout"}, nil)
		assert.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))

		r := launch(t, full)
		pid = running(t, pool(t, r, entry(t), nil))
		r.Close()
		gone(t, pid)
	})
}

// TestCellKilled kills a whole cell with SIGKILL: launcher and connectors go too.
func TestCellKilled(t *testing.T) {
	if os.Getenv("TENON_TEST_CELL") != "" {
		asCell(t)
		return
	}
	for _, mode := range []string{"namespaces", "fallback"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestCellKilled$")
		cmd.Env = append(os.Environ(), "TENON_TEST_CELL="+mode)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		var launcher, connector int
		_, err = fmt.Fscanf(out, "cell %d %d\n", &launcher, &connector)
		require.NoError(t, err)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		gone(t, connector)
		gone(t, launcher)
	}
}

func asCell(t *testing.T) {
	t.Helper()
	l := launch(t, os.Getenv("TENON_TEST_CELL") == "namespaces")
	pid := running(t, pool(t, l, entry(t), nil))
	fmt.Printf("cell %d %d\n", l.cmd.Process.Pid, pid)
	select {}
}

// TestIdle stops a connector that nobody uses, and starts it again.
func TestIdle(t *testing.T) {
	p := pool(t, launch(t, true), entry(t), nil)
	p.cfg.IdleAfter = 50 * time.Millisecond
	pid := running(t, p)
	gone(t, pid)
	assert.NotEqual(t, pid, running(t, p))
}

// TestMissing: where namespaces are forbidden the launcher says so by itself.
func TestMissing(t *testing.T) {
	assert.Empty(t, launch(t, true).Missing())
	for _, name := range []string{"user-namespace", "mount-namespace", "pid-namespace", "network-namespace"} {
		assert.Contains(t, launch(t, false).Missing(), name)
	}
	// In a user namespace that may have no other below it.
	cmd := exec.Command("unshare", "--user", "--map-root-user", "sh", "-c",
		"echo 0 > /proc/sys/user/max_user_namespaces && exec "+os.Args[0]+" -test.run=^TestMissingAlone$")
	cmd.Env = append(os.Environ(), "TENON_TEST_CELL=missing")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "PASS")
}

// TestMissingAlone runs where [TestMissing] has forbidden namespaces, and here:
// the launcher finds the way by itself, and what it says is so.
func TestMissingAlone(t *testing.T) {
	l := launch(t, true)
	assert.Equal(t, os.Getenv("TENON_TEST_CELL") == "missing", slices.Contains(l.Missing(), "user-namespace"))
	out, err := attack(t.Context(), pool(t, l, entry(t), nil), map[string]any{"attack": "sockets"}, nil)
	require.NoError(t, err)
	assert.JSONEq(t, "[]", string(out))
}

// TestPinned: only what was pinned runs.
func TestPinned(t *testing.T) {
	l := launch(t, true)
	path := filepath.Join(t.TempDir(), "connector")
	program, err := os.ReadFile(filepath.Join(bin, "hostile"))
	require.NoError(t, err)
	install := func(content []byte, mode os.FileMode) {
		require.NoError(t, os.WriteFile(path+".new", content, 0o600))
		require.NoError(t, os.Chmod(path+".new", mode))
		require.NoError(t, os.Rename(path+".new", path))
	}
	rested := func() *Pool { // The file has rested, by the clock of the test.
		e := entry(t)
		e.Path = path
		p := pool(t, l, e, nil)
		p.starter.programs.now = func() time.Time { return time.Now().Add(time.Hour) }
		return p
	}
	install(program, 0o755)
	p := rested()
	_, err = attack(t.Context(), p, map[string]any{"attack": "stdout"}, nil)
	require.NoError(t, err)
	// Nobody can write into a program that runs.
	_, err = os.OpenFile(path, os.O_WRONLY, 0)
	require.ErrorIs(t, err, unix.ETXTBSY)
	p.Close()

	install(append(program, 0), 0o755)
	_, err = attack(t.Context(), rested(), map[string]any{"attack": "stdout"}, nil)
	assert.Equal(t, schema.CodeRefused, schema.CodeOf(err), "another hash")
	install(program, 0o777)
	_, err = attack(t.Context(), rested(), map[string]any{"attack": "stdout"}, nil)
	assert.Equal(t, schema.CodeRefused, schema.CodeOf(err), "writable by others")

	// Replaced after the hash: what was opened and hashed is executed, and a
	// write into it shows. So does a link, which harms nobody: the start is
	// repeated, and the next hash tells them apart.
	install(program, 0o755)
	v := rested().starter.programs
	e := entry(t)
	e.Path = path
	f, id, err := v.open(e)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	require.NoError(t, unchanged(f, id))
	require.NoError(t, os.Link(path, path+".link"))
	assert.Equal(t, schema.CodeUnavailable, schema.CodeOf(unchanged(f, id)))
	linked, id, err := v.open(e)
	require.NoError(t, err, "the same content")
	require.NoError(t, linked.Close())
	require.NoError(t, os.WriteFile(path, append(program, 1), 0o755))
	assert.Equal(t, schema.CodeUnavailable, schema.CodeOf(unchanged(f, id)))
	_, _, err = v.open(e)
	assert.Equal(t, schema.CodeRefused, schema.CodeOf(err), "another hash")

	// And one that was changed just now is not hashed at all: its next change
	// might not show.
	q := pool(t, l, e, nil)
	id, _, err = identify(f)
	require.NoError(t, err)
	q.starter.programs.now = func() time.Time { return time.Unix(id.changed.Unix()) }
	_, err = attack(t.Context(), q, map[string]any{"attack": "stdout"}, nil)
	assert.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
}

// TestEgress: the one way out, its faults, and the errors that end a run.
func TestEgress(t *testing.T) {
	p := pool(t, launch(t, true), entry(t), nil)
	fetch := func(resp *sdk.Response, err error) (json.RawMessage, error) {
		return attack(t.Context(), p, map[string]any{"attack": "fetch"}, func(context.Context, *sdk.Request) (*sdk.Response, error) {
			return resp, err
		})
	}
	out, err := fetch(&sdk.Response{Status: 204, Header: map[string][]string{"X": {"caf\xe9"}}}, nil)
	require.NoError(t, err)
	assert.JSONEq(t, "204", string(out))
	for code, kind := range map[schema.Code]string{
		schema.CodeRefused: sdk.FaultAuthorization, schema.CodeUnavailable: sdk.FaultCommunication, schema.CodeTimeout: sdk.FaultTimeout,
	} {
		_, err = fetch(nil, schema.Errorf(code, "why"))
		var f *sdk.Fault
		require.ErrorAs(t, err, &f)
		assert.Equal(t, kind, f.Type)
		assert.Equal(t, "why", f.Detail)
	}
	_, err = fetch(nil, schema.Errorf(schema.CodeFenced, "another owner"))
	assert.Equal(t, schema.CodeFenced, schema.CodeOf(err), "a host's own error ends the run")
	_, err = fetch(nil, Abort(schema.Errorf(schema.CodeUnavailable, "the ledger is away")))
	assert.Equal(t, schema.CodeUnavailable, schema.CodeOf(err), "and so does one that is marked")
	var f *sdk.Fault
	require.NotErrorAs(t, err, &f)
}

// memory reads a line of a process's memory, in MiB.
func memory(t testing.TB, pid int, name string) float64 {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			require.NoError(t, err)
			return float64(kb) / 1024
		}
	}
	t.Fatal("no " + name)
	return 0
}

// BenchmarkInvoke measures a round trip, and reports the start of a connector
// and what it and the launcher keep in memory.
func BenchmarkInvoke(b *testing.B) {
	directory := b.TempDir()
	l, err := StartLauncher(b.Context(), filepath.Join(bin, "tenon-launcher"), directory)
	require.NoError(b, err)
	defer l.Close()
	p := NewPool(PoolConfig{Catalog: NewCatalog(httpEntry(b)), Launcher: l, RunDir: directory})
	defer p.Close()
	in := Invocation{
		Connector: "http", Action: "request", Input: json.RawMessage(`{"method":"get","endpoint":"https://a.example/"}`),
		Egress: func(context.Context, *sdk.Request) (*sdk.Response, error) { return &sdk.Response{Status: 204}, nil },
	}
	_, err = p.Invoke(b.Context(), in) // hashes
	require.NoError(b, err)
	p.slots["http"].rest()
	began := time.Now()
	_, err = p.Invoke(b.Context(), in)
	require.NoError(b, err)
	start := time.Since(began)
	pid := p.slots["http"].live.process.PID
	connector, private := memory(b, pid, "VmRSS"), memory(b, pid, "RssAnon")
	for b.Loop() {
		if _, err := p.Invoke(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(start.Seconds()*1e3, "start-ms")
	b.ReportMetric(connector, "connector-MiB")
	b.ReportMetric(private, "connector-private-MiB")
	b.ReportMetric(memory(b, l.cmd.Process.Pid, "VmRSS"), "launcher-MiB")
}
