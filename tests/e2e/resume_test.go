package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

// TestRunsGoOn ends the platform with a run that waits and a run in the middle
// of its call, in order, by a crash, and with the loss of the engine's store.
// Started again, every run ends, with one bill.
func TestRunsGoOn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		end  func(*testing.T, *platform)
	}{
		{"after a stop", func(t *testing.T, p *platform) {
			t.Helper()
			p.stop(t)
		}},
		{"after a crash", func(t *testing.T, p *platform) {
			t.Helper()
			p.kill()
		}},
		{"without the engine's store", func(t *testing.T, p *platform) {
			t.Helper()
			p.stop(t)
			require.NoError(t, os.RemoveAll(filepath.Join(p.data, "engine")))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t)
			p.start(t)
			s := newShop(t, p, ledger.Keys, map[string]string{"now": billing(""), "later": billing(waiting(9 * time.Second))})
			s.accepted(t, "now", "done")
			s.reach(t, 20*time.Second, "completed", 1)
			s.accepted(t, "later", "waits")
			s.reach(t, 20*time.Second, "waiting", 1)
			require.NoError(t, s.books.Control(ledger.Control{Count: 1, StallMS: 10_000, When: ledger.Before}))
			s.accepted(t, "now", "under-way")
			s.stalled(t, 1)

			before := p.processes(t)
			c.end(t, p)
			p.gone(t, before)
			require.NoError(t, s.books.Control(ledger.Control{}))
			p.start(t)
			// An event whose run was started is not started again.
			s.accepted(t, "now", "done")
			s.reach(t, 40*time.Second, "completed", 3)
			s.bills(t, "done", "waits", "under-way")
			require.Len(t, s.runs(t), 3)
		})
	}
}

// TestATerminatedCarrierIsReplaced ends a run's workflow from outside, with an
// operator's token: the run is taken up by another within the period of the
// comparison.
func TestATerminatedCarrierIsReplaced(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.start(t)
	s := newShop(t, p, ledger.Keys, map[string]string{"later": billing(waiting(3 * time.Second))})
	s.accepted(t, "later", "terminated")
	s.reach(t, 20*time.Second, "waiting", 1)
	p.terminateAll(t, s.org)
	s.reach(t, 40*time.Second, "completed", 1)
	s.bills(t, "terminated")
}

// TestTheHostsDeathCostsNoLease kills the host: its successor takes its cells
// again without waiting for the lease to expire.
func TestTheHostsDeathCostsNoLease(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.start(t)
	s := newShop(t, p, ledger.Keys, map[string]string{"now": billing("")})
	s.accepted(t, "now", "before")
	s.reach(t, 20*time.Second, "completed", 1)

	// One that waits is never faster than what is left of a lease, however often; one
	// that does not may be slow, on a busy machine.
	const left = 9 * time.Second
	orders := []string{"before"}
	for took := left; took >= left; {
		require.Less(t, len(orders), 8, "each time it took as long as if the lease had to end, which is 10 s long")
		order := fmt.Sprint("after-", len(orders))
		below := p.below(t, p.pid(t, "host"))
		require.NoError(t, syscall.Kill(p.pid(t, "host"), syscall.SIGKILL))
		killed := time.Now()
		s.accepted(t, "now", order)
		orders = append(orders, order)
		s.reach(t, time.Minute, "completed", len(orders))
		took = time.Since(killed)
		p.gone(t, below)
	}
	s.bills(t, orders...)
}

// TestACellLeavesNothingBehind kills a cell's worker: the launcher, connectors
// and evaluators that it started end with it.
func TestACellLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.start(t)
	s := newShop(t, p, ledger.Keys, map[string]string{"now": billing("")})
	s.accepted(t, "now", "before")
	s.reach(t, 20*time.Second, "completed", 1)
	cell := p.pid(t, "tenon-cell")
	below := p.below(t, cell)
	names := map[string]bool{}
	for _, n := range below {
		names[n] = true
	}
	require.True(t, names["tenon-launcher"] && names["tenon-eval"], "%v", names)
	require.NoError(t, syscall.Kill(cell, syscall.SIGKILL))
	p.gone(t, below)
	s.accepted(t, "now", "after")
	s.reach(t, 30*time.Second, "completed", 2)
	for pid, name := range p.processes(t) {
		require.False(t, zombie(pid), "%s is a zombie", name)
	}
}
