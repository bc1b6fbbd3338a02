package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

// takeoverPatience is for how long a test waits for another host to have a cell: a
// lease is 10 s long, and machines that test are busy.
const takeoverPatience = time.Minute

// shareCells makes the directory of another host on this machine, before the
// platform starts: it has one of its own for what is its process's, and shares
// keys and databases. The files of the cells lie there, since a host's cells
// write below their host's directory only.
func (p *platform) shareCells(t *testing.T) (data string) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	for _, dir := range []string{p.data, filepath.Join(data, "run"), filepath.Join(data, "cells")} {
		require.NoError(t, os.MkdirAll(dir, 0o700))
	}
	require.NoError(t, os.Symlink(filepath.Join(data, "cells"), filepath.Join(p.data, "cells")))
	for _, shared := range []string{"keys", "keystore", "control"} {
		require.NoError(t, os.Symlink(filepath.Join(p.data, shared), filepath.Join(data, shared)))
	}
	return data
}

// anotherHost starts a host on a directory that shares the platform's cells.
func (p *platform) anotherHost(t *testing.T, data string) (pid int, log func() string) {
	t.Helper()
	said, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	cmd := exec.Command(bin(t, "tenon"), "host", "--data", data, "--engine-address", p.engine)
	cmd.Env = append(append(os.Environ(), p.env...), "TENON_LOG_LEVEL=info")
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	require.NoError(t, cmd.Start())
	log = func() string {
		text, err := os.ReadFile(said.Name())
		require.NoError(t, err)
		return string(text)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = said.Close()
		if t.Failed() {
			t.Logf("the log of the other host:\n%s", log())
		}
	})
	eventually(t, 20*time.Second, "the other host takes cells", func() bool { return strings.Contains(log(), "the host takes cells") })
	return cmd.Process.Pid, log
}

// TestAnotherHostTakesOver kills a host that nobody starts again: another takes
// its cell when the lease is over. Then that one is paused in the middle of a call, with
// its cell, and the first takes over; when the cell wakes up and has the answer
// to its call, it may not write it, and ends.
func TestAnotherHostTakesOver(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			env := db.env(t)
			p := newPlatform(t, append(slices.Clone(env), "TENON_CELL_IDLE=0", "TENON_LOG_LEVEL=warn")...)
			data := p.shareCells(t)
			p.start(t)
			s := newShop(t, p, ledger.Keys, map[string]string{"now": billing("")})
			s.accepted(t, "now", "a")
			s.reach(t, 20*time.Second, "completed", 1)
			other, log := p.anotherHost(t, data)

			require.NoError(t, syscall.Kill(p.cmd.Process.Pid, syscall.SIGSTOP)) // It would start the host again.
			require.NoError(t, syscall.Kill(p.pid(t, "host"), syscall.SIGKILL))
			s.accepted(t, "now", "b")
			s.reach(t, takeoverPatience, "completed", 2)
			require.Contains(t, p.cellProcesses(t, other), "tenon-cell")
			require.NoError(t, syscall.Kill(p.cmd.Process.Pid, syscall.SIGCONT))
			eventually(t, 20*time.Second, "the host comes back", func() bool {
				for _, name := range p.processes(t) {
					if name == "host" {
						return true
					}
				}
				return false
			})

			require.NoError(t, s.books.Control(ledger.Control{Count: 1, StallMS: 3000, When: ledger.Before}))
			s.accepted(t, "now", "c")
			s.stalled(t, 1)
			paused := p.below(t, other)
			for pid := range paused {
				require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
			}
			s.reach(t, takeoverPatience, "completed", 3)
			require.Contains(t, p.cellProcesses(t, p.cmd.Process.Pid), "tenon-cell")
			for pid := range paused {
				if pid != other { // The cell finds out by itself.
					require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
				}
			}
			eventually(t, 20*time.Second, "the former owner may not write", func() bool {
				return strings.Contains(log(), "another process owns the cell now")
			})
			require.NoError(t, syscall.Kill(other, syscall.SIGCONT))
			eventually(t, 20*time.Second, "the former owner ends", func() bool { return len(p.cellProcesses(t, other)) == 0 })

			s.accepted(t, "now", "d")
			s.reach(t, 20*time.Second, "completed", 4)
			require.Len(t, s.runs(t), 4)
			s.bills(t, "a", "b", "c", "d")
			require.NotContains(t, p.logs()+log(), "panic")
			p.stop(t)
			s.verifyAudit(t, env)
		})
	}
}
