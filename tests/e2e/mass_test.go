package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

// TestManyRunsAreTakenUp loses the engine's store while many runs wait and many
// are in the middle of their calls: all of them are taken up, soon, and none
// twice.
func TestManyRunsAreTakenUp(t *testing.T) {
	t.Parallel()
	const waits, calls = 200, 60
	p := newPlatform(t)
	p.start(t)
	s := newShop(t, p, ledger.Keys, map[string]string{"now": billing(""), "later": billing(waiting(45 * time.Second))})
	require.NoError(t, s.books.Control(ledger.Control{Count: calls, StallMS: 12_000, When: ledger.Before}))
	var orders []string
	deliver := func(flow string, n int) {
		var senders sync.WaitGroup
		slots := make(chan struct{}, 8)
		for i := range n {
			id := fmt.Sprintf("%s-%d", flow, i)
			orders = append(orders, id)
			slots <- struct{}{}
			senders.Go(func() {
				defer func() { <-slots }()
				for status := 0; status != 202; {
					status, _ = s.order(t, flow, id)
				}
			})
		}
		senders.Wait()
	}
	deliver("later", waits)
	s.reach(t, 45*time.Second, "waiting", waits)
	deliver("now", calls)
	s.stalled(t, 16)

	p.stop(t)
	require.NoError(t, os.RemoveAll(filepath.Join(p.data, "engine")))
	require.NoError(t, s.books.Control(ledger.Control{}))
	p.start(t)
	began := time.Now()
	s.reach(t, 60*time.Second, "completed", calls)
	t.Logf("%d runs that were under way ended %s after the start", calls, time.Since(began).Round(time.Millisecond))
	s.reach(t, 90*time.Second, "completed", calls+waits)
	t.Logf("and %d that waited after %s", waits, time.Since(began).Round(time.Millisecond))
	s.bills(t, orders...)
}
