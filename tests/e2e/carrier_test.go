package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

// TestRunsOfOneCarrier gathers events while the cell stands still, so that one
// carrier takes their runs. One of them hangs in its call and one fails: the
// others end meanwhile. Then the carrier is terminated from outside: the one that
// is left is taken up again, and no bill is there twice.
func TestRunsOfOneCarrier(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, "TENON_CELL_IDLE=0")
	p.start(t)
	s := newShop(t, p, ledger.Keys, map[string]string{
		"now": billing(""),
		"bad": billing("\n  - wrong: {raise: {error: {type: 'https://example.com/wrong', status: 400}}}"),
	})
	s.accepted(t, "now", "first")
	s.reach(t, 20*time.Second, "completed", 1)

	require.NoError(t, s.books.Control(ledger.Control{Count: 1, StallMS: 8000}))
	cell := p.pid(t, "tenon-cell")
	require.NoError(t, syscall.Kill(cell, syscall.SIGSTOP))
	orders := []string{"first"}
	for i := range 14 {
		id := fmt.Sprintf("order-%d", i)
		orders = append(orders, id)
		s.accepted(t, "now", id)
	}
	s.accepted(t, "bad", "wrong")
	require.NoError(t, syscall.Kill(cell, syscall.SIGCONT))

	s.stalled(t, 1)
	s.reach(t, 20*time.Second, "completed", len(orders)-1)
	s.reach(t, 20*time.Second, "failed", 1)
	require.EqualValues(t, 1, s.books.Stats().Stalled, "they ended while one was hanging")
	eventually(t, 20*time.Second, "the engine lists the carrier of the first, and that of all the others", func() bool {
		return p.carriers(t, s.org) == 2
	})

	p.terminateAll(t, s.org)
	s.reach(t, 60*time.Second, "completed", len(orders))
	require.Len(t, s.runs(t), len(orders)+1)
	s.bills(t, orders...)
}
