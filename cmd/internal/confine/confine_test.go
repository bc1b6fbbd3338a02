package confine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/cmd/internal/confine"
)

const childEnv = "TENON_TEST_CONFINE"

// plan is what the child does: the test binary, executed again.
type plan struct {
	Policy              confine.Policy
	Mine, Theirs, Write string
	Open, Closed        string
}

// seen is what the child saw, on the worst of its threads.
type seen struct {
	ReadMine, ReadTheirs, ListTheirs, WriteMine, WriteReadOnly, Execute, ExecuteWritten bool
	Open, Closed, Listen                                                                bool
	NoNewPrivileges                                                                     string
	Missing                                                                             string
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		if err := child(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(text string) error {
	var p plan
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return err
	}
	// Threads that are there before the restriction must be under it, too.
	start, ready := make(chan struct{}), sync.WaitGroup{}
	results := make(chan seen)
	for range 6 {
		ready.Add(1)
		go func() {
			runtime.LockOSThread()
			ready.Done()
			<-start
			results <- look(p)
		}()
	}
	ready.Wait()
	report, err := confine.Restrict(p.Policy)
	if err != nil {
		return err
	}
	close(start)
	worst := <-results
	for range 5 {
		if other := <-results; other != worst {
			return fmt.Errorf("threads differ: %+v and %+v", worst, other)
		}
	}
	worst.Missing = strings.Join(report.Missing, "; ")
	return json.NewEncoder(os.Stdout).Encode(worst)
}

// look tries everything on the current thread.
func look(p plan) seen {
	return seen{
		ReadMine: readable(p.Mine), ReadTheirs: readable(p.Theirs), ListTheirs: listable(filepath.Dir(p.Theirs)),
		WriteMine:     os.WriteFile(filepath.Join(p.Write, strconv.Itoa(os.Getpid())), []byte("x"), 0o600) == nil,
		WriteReadOnly: os.WriteFile(p.Mine, []byte("x"), 0o600) == nil,
		Execute:       runs("/bin/true"), ExecuteWritten: runs(filepath.Join(p.Write, "true")),
		Open: dials(p.Open), Closed: dials(p.Closed), Listen: listens(),
		NoNewPrivileges: status("NoNewPrivs"),
	}
}

func readable(path string) bool { _, err := os.ReadFile(path); return err == nil }

func listable(path string) bool { _, err := os.ReadDir(path); return err == nil }

func runs(path string) bool { return exec.CommandContext(context.Background(), path).Run() == nil }

func dials(address string) bool {
	var d net.Dialer
	c, err := d.DialContext(context.Background(), "tcp", address)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

func listens() bool {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err == nil {
		_ = l.Close()
	}
	return err == nil
}

func status(field string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", unix.Gettid()))
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func confined(t *testing.T, p plan) seen {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	text, err := json.Marshal(p)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	var s seen
	require.NoError(t, json.Unmarshal(out, &s))
	return s
}

func serve(t *testing.T) (address string, port uint16) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	_, text, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	n, err := strconv.ParseUint(text, 10, 16)
	require.NoError(t, err)
	return l.Addr().String(), uint16(n)
}

func newPlan(t *testing.T) plan {
	t.Helper()
	mine, theirs, write := t.TempDir(), t.TempDir(), t.TempDir()
	p := plan{Mine: filepath.Join(mine, "a"), Theirs: filepath.Join(theirs, "root.key"), Write: write}
	require.NoError(t, os.WriteFile(p.Mine, []byte("x"), 0o600))
	require.NoError(t, os.WriteFile(p.Theirs, []byte("x"), 0o600))
	program, err := os.ReadFile("/bin/true")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(write, "true"), program, 0o700))
	var port uint16
	p.Open, port = serve(t)
	p.Closed, _ = serve(t)
	p.Policy = confine.Policy{
		ReadOnly: []string{p.Mine, "/does/not/exist"}, ReadWrite: []string{write}, Connect: []uint16{port}, Bind: []uint16{},
	}
	return p
}

// A confined process reaches what is its own and nothing else, on every thread.
// On a kernel that lacks a part the report must say so: it is asked, not skipped.
func TestRestrict(t *testing.T) {
	p := newPlan(t)
	s := confined(t, p)
	want := seen{
		ReadMine: true, WriteMine: true, Open: true, NoNewPrivileges: "1", Missing: strings.Join(confine.Missing(), "; "),
		// What the kernel cannot refuse is allowed, and reported.
		ReadTheirs: lacks("stay open"), ListTheirs: lacks("stay open"), WriteReadOnly: lacks("stay open"),
		Execute: lacks("stay open"), ExecuteWritten: lacks("stay open"),
		Closed: lacks("ports"), Listen: lacks("ports"),
	}
	assert.Equal(t, want, s)
}

func lacks(what string) bool { return strings.Contains(strings.Join(confine.Missing(), "; "), what) }

// Without limits on ports a process still connects and listens, and what is
// named may be executed.
func TestRestrictFilesOnly(t *testing.T) {
	p := newPlan(t)
	p.Policy.Connect, p.Policy.Bind = nil, nil
	program, err := filepath.EvalSymlinks("/bin/true")
	require.NoError(t, err)
	p.Policy.Execute = []string{program, "/lib", "/lib64", "/usr/lib"}
	s := confined(t, p)
	assert.True(t, s.Open && s.Closed && s.Listen)
	assert.True(t, s.Execute)
	assert.Equal(t, lacks("stay open"), s.ExecuteWritten)
	assert.Equal(t, lacks("stay open"), s.ReadTheirs)
}
