package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

// TestCutConnections cuts the connection to the other system at each place of
// an exchange. A system that honours keys, or can be asked, ends up with one bill
// and a completed run; with any other the run stops and asks.
func TestCutConnections(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.start(t)
	for _, mode := range []ledger.Mode{ledger.Keys, ledger.Lookup, ledger.None} {
		s, c := newCutShop(t, p, mode, shaken())
		completed, uncertain, orders := 0, 0, []string{}
		for where := range cuts {
			if mode == ledger.Lookup && where == inRequest {
				continue // That a bill is not there proves itself after minutes.
			}
			order := fmt.Sprintf("now-%d", where)
			c.order(where, 1)
			s.accepted(t, "now", order)
			if mode != ledger.None || where != inRequest {
				orders = append(orders, order)
			}
			if mode == ledger.None {
				uncertain++
				s.reach(t, 30*time.Second, "uncertain", uncertain)
			} else {
				completed++
				s.reach(t, 30*time.Second, "completed", completed)
			}
			require.Equal(t, completed+uncertain, c.made(), "%s: the connection was not cut %s", mode, where)
		}
		s.bills(t, orders...)
	}
}
