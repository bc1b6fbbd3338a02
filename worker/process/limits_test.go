package process

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// waiter starts a child that only waits, under the limits.
func waiter(t *testing.T, l Limits) *Process {
	t.Helper()
	p, err := Start(Spec{Name: "waiter", Path: "/bin/sleep", Args: []string{"3600"}, Limits: l})
	require.NoError(t, err)
	t.Cleanup(func() { p.Stop(0) })
	return p
}

// niceness reads the 19th field of a process's stat.
func niceness(t *testing.T, pid string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	require.NoError(t, err)
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+2:]))
	n, err := strconv.Atoi(fields[16])
	require.NoError(t, err)
	return n
}

// TestLimitsWithoutGroups: the child has them from its first instruction that
// matters, and the next child has not.
func TestLimitsWithoutGroups(t *testing.T) {
	before := niceness(t, "self")
	p := waiter(t, Limits{Memory: 64 << 20, Weight: 50, Processes: 10})
	assert.Equal(t, min(before+3, 19), niceness(t, strconv.Itoa(p.PID)))
	var bound unix.Rlimit
	require.NoError(t, unix.Prlimit(p.PID, unix.RLIMIT_DATA, nil, &bound))
	assert.Equal(t, uint64(64<<20), bound.Max)
	// More than the usual share is the usual one: nobody here may ask for more.
	assert.Equal(t, before, niceness(t, strconv.Itoa(waiter(t, Limits{Weight: 1000}).PID)))
}

// hierarchies finds cgroup directories in which this user can make groups, one
// of each controller of version 1 in whose root group this process is. Others
// have put it into a group of theirs where it is not.
func hierarchies(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/cgroup")
	require.NoError(t, err)
	var out []string
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		base := filepath.Join("/sys/fs/cgroup", parts[1])
		if parts[2] != "/" || parts[1] != "cpu" && parts[1] != "pids" || unix.Access(base, unix.W_OK) != nil {
			continue
		}
		directory := filepath.Join(base, "tenon-test-"+strconv.Itoa(os.Getpid()))
		require.NoError(t, os.Mkdir(directory, 0o755))
		t.Cleanup(func() { assert.NoError(t, unix.Rmdir(directory)) })
		out = append(out, directory)
	}
	return out
}

func content(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

// TestGroups puts a child into real groups where this machine lets the test make
// them, and says that there are none where it does not: then nothing is held.
func TestGroups(t *testing.T) {
	l := Limits{Groups: hierarchies(t), Name: "child", Weight: 50, Processes: 10}
	held, err := l.Try()
	require.NoError(t, err)
	assert.Equal(t, len(l.Groups) > 0, held.Weight && held.Processes)
	p, err := Start(Spec{Name: "shell", Path: "/bin/sleep", Args: []string{"3600"}, Limits: l})
	require.NoError(t, err)
	for _, g := range l.Groups {
		assert.Equal(t, strconv.Itoa(p.PID), content(t, g, "child", "cgroup.procs"))
		switch {
		case strings.Contains(g, "/pids/"):
			assert.Equal(t, "10", content(t, g, "child", "pids.max"))
		default:
			assert.Equal(t, "512", content(t, g, "child", "cpu.shares"))
		}
	}
	p.Stop(time.Second)
	for _, g := range l.Groups {
		require.Eventually(t, func() bool {
			_, err := os.Stat(filepath.Join(g, "child"))
			return os.IsNotExist(err)
		}, 5*time.Second, 5*time.Millisecond, "the group goes with its child")
	}
}

// TestKnobs writes each limit in the notation of either version.
func TestKnobs(t *testing.T) {
	l := Limits{Memory: 1 << 30, Processes: 64, Weight: 50, Name: "cell"}
	for _, version := range []map[string]string{
		{"memory.max": "1073741824", "pids.max": "64", "cpu.weight": "50"},
		{"memory.limit_in_bytes": "1073741824", "pids.max": "64", "cpu.shares": "512"},
	} {
		group := t.TempDir()
		require.NoError(t, os.Mkdir(filepath.Join(group, "cell"), 0o700))
		for name := range version {
			require.NoError(t, os.WriteFile(filepath.Join(group, "cell", name), nil, 0o600))
		}
		l.Groups = []string{group}
		held, err := l.groups()
		require.NoError(t, err)
		assert.Equal(t, Held{Memory: true, Processes: true, Weight: true}, held)
		for name, want := range version {
			assert.Equal(t, want, content(t, group, "cell", name))
		}
	}
	l.Groups = []string{filepath.Join(t.TempDir(), "missing")}
	_, err := l.groups()
	require.Error(t, err)
}
