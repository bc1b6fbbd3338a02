package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

// TestACellDoesNotWaitForTheEngine: an order is billed, once, and its run ends, while the
// engine stands still; an operator finds the run's carrier there once that goes on.
func TestACellDoesNotWaitForTheEngine(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, append(db.env(t), "TENON_CELL_IDLE=0")...)
			p.start(t)
			s := newShop(t, p, ledger.Keys, map[string]string{"now": billing("")})
			s.accepted(t, "now", "before")
			s.reach(t, 20*time.Second, "completed", 1)

			engine := p.pid(t, "tenon-engine")
			require.NoError(t, syscall.Kill(engine, syscall.SIGSTOP))
			s.accepted(t, "now", "meanwhile")
			s.reach(t, 20*time.Second, "completed", 2)
			require.NoError(t, syscall.Kill(engine, syscall.SIGCONT))
			s.bills(t, "before", "meanwhile")
			s.told(t)
		})
	}
}
