package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestTheMainJob does what a newcomer does: up, the demo, and down in order.
func TestTheMainJob(t *testing.T) {
	for _, db := range []struct {
		name string
		env  func(*testing.T) []string
	}{
		{"SQLite", func(*testing.T) []string { return nil }},
		{"PostgreSQL", func(t *testing.T) []string {
			t.Helper()
			return []string{"TENON_POSTGRES_URL=" + storetest.Postgres(t).Database(t)}
		}},
	} {
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
			require.Less(t, p.stop(t), 10*time.Second)
			for pid, name := range mine {
				require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH, "process %s is left", name)
			}
		})
	}
}

// TestEveryProcessComesBack kills each process with -9 in turn; the parent
// says so and starts it again, and the main job still works.
func TestEveryProcessComesBack(t *testing.T) {
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
	eventually(t, 5*time.Second, "all processes are gone", func() bool {
		for pid := range mine {
			if syscall.Kill(pid, 0) == nil && !zombie(pid) {
				return false
			}
		}
		return true
	})
}
