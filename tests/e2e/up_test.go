package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

// TestTheMainJob does what a newcomer does: up, the demo, and down in order.
func TestTheMainJob(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			p := newPlatform(t, db.env(t)...)
			p.start(t)
			t.Logf("up in %s", p.took)
			out := p.demo(t)
			require.Contains(t, out, "Everything as promised.")
			require.NotContains(t, p.logs(), "panic")
			// The administrator's key is in its file only.
			key, err := os.ReadFile(filepath.Join(p.data, "admin.key"))
			require.NoError(t, err)
			require.NotContains(t, p.logs(), strings.TrimSpace(string(key)))
			info, err := os.Stat(filepath.Join(p.data, "admin.key"))
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

			mine := p.processes(t)
			p.stop(t)
			p.gone(t, mine)
		})
	}
}

// TestEveryProcessComesBack kills each process with -9 in turn; the parent
// says so and starts it again, and the main job still works.
func TestEveryProcessComesBack(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.start(t)
	for _, name := range []string{"api", "host", "tenon-engine"} {
		pid := p.pid(t, name)
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		eventually(t, 20*time.Second, name+" comes back", func() bool {
			for other, n := range p.processes(t) {
				if n == name && other != pid {
					return true
				}
			}
			return false
		})
		require.Contains(t, p.logs(), "a process ended and is started again")
	}
	eventually(t, 20*time.Second, "the API answers", func() bool {
		status, _ := p.get(t, "/v1/ready")
		return status == 200
	})
	require.Contains(t, p.demo(t), "Everything as promised.")
}

// TestNoOrphans kills the parent with -9: the kernel ends what it started.
func TestNoOrphans(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.start(t)
	require.Contains(t, p.demo(t), "Everything as promised.")
	mine := p.processes(t)
	names := map[string]bool{}
	for _, n := range mine {
		names[n] = true
	}
	for _, n := range []string{"api", "host", "tenon-engine", "tenon-cell", "tenon-launcher"} {
		require.True(t, names[n], "no process %s among %v", n, mine)
	}
	p.kill()
	p.gone(t, mine)
}

// TestOneDirectoryOnePlatform starts a second platform on the same data
// directory, and one on addresses that are taken: both say so and end.
func TestOneDirectoryOnePlatform(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.start(t)
	second := newPlatform(t)
	second.data = p.data
	require.Contains(t, second.refused(t), "another tenon up runs on the data directory")

	for setting, take := range map[string]func(*platform){
		"api-address":    func(o *platform) { o.api = p.api },
		"ui-address":     func(o *platform) { o.ui = p.ui },
		"engine-address": func(o *platform) { o.engine = p.engine },
	} {
		other := newPlatform(t)
		take(other)
		said := other.refused(t)
		require.Contains(t, said, "setting "+setting)
		require.Contains(t, said, "cannot be listened on")
	}
	status, _ := p.get(t, "/v1/ready")
	require.Equal(t, 200, status, "the first goes on")
}

// TestOneKeyForBoth: neither the API nor a host runs where both pairs are one key,
// whoever put it there, and whatever "tenon init" saw.
func TestOneKeyForBoth(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.start(t)
	p.stop(t)
	for _, half := range []string{".key", ".pub"} {
		text, err := os.ReadFile(filepath.Join(p.data, "keys", "root"+half))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(p.data, "keys", "api"+half), text, 0o600))
	}
	for _, process := range []string{"api", "host", "init"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		out, err := exec.CommandContext(ctx, bin(t, "tenon"), process, "--data", p.data, "--api-address", p.api, "--engine-address", p.engine).CombinedOutput()
		cancel()
		require.Error(t, err)
		require.Contains(t, string(out), "must name different keys", process)
	}
}

// TestASecondSignalEndsAtOnce sends SIGINT twice while a run's call hangs: the
// second ends the parent, and the kernel what it started.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.start(t)
	s := newShop(t, p, ledger.Keys, map[string]string{"now": billing("")})
	const hangs = 20 * time.Second
	require.NoError(t, s.books.Control(ledger.Control{Count: 1, StallMS: int(hangs.Milliseconds()), When: ledger.Before}))
	s.accepted(t, "now", "hangs")
	s.stalled(t, 1)
	mine := p.processes(t)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGINT))
	eventually(t, 5*time.Second, "it drains", func() bool { return strings.Contains(p.logs(), "draining") })
	began := time.Now()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGINT))
	p.gone(t, mine)
	require.Less(t, time.Since(began), hangs/2, "it did not wait for the call")
}

// TestACellWithoutItsLauncher kills what starts a cell's sandboxed children, and
// them with it. The cell cannot make another: it ends, and the next one goes on.
func TestACellWithoutItsLauncher(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.start(t)
	s := newShop(t, p, ledger.Keys, map[string]string{"now": billing("")})
	s.accepted(t, "now", "before")
	s.reach(t, 20*time.Second, "completed", 1)
	cell := p.pid(t, "tenon-cell")
	require.NoError(t, syscall.Kill(p.pid(t, "tenon-launcher"), syscall.SIGKILL))
	s.accepted(t, "now", "after")
	s.reach(t, 20*time.Second, "completed", 2)
	require.NotEqual(t, cell, p.pid(t, "tenon-cell"))
	s.bills(t, "before", "after")
}
