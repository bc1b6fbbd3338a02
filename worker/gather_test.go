package worker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/store"
)

// TestCarriersAreFilled: a relay with the runs of two carriers under way leaves events
// that would not fill a third, for a while, and looks again by itself. One that has
// less to do, and events that share no carrier, wait for nothing.
func TestCarriersAreFilled(t *testing.T) {
	b := newBench(t)
	b.named(t, "busy", 1)
	found, err := b.cell.Door().EventsAfter(t.Context(), 0, 1)
	require.NoError(t, err)
	came := func(n int, age time.Duration, key string) []store.Event {
		out := make([]store.Event, n)
		for i := range out {
			out[i] = found[0]
			out[i].ReceivedAt, out[i].OrderKey = time.Now().Add(-age), key
		}
		return out
	}
	require.Len(t, b.filling(came(carrierSize+3, 0, "")), carrierSize+3, "it is not busy")

	b.named(t, "busy", 2*carrierSize)
	b.shares.capacity = 1024
	b.passes(t)
	require.GreaterOrEqual(t, b.openCount(), 2*carrierSize)
	for name, c := range map[string]struct {
		events []store.Event
		now    int
	}{
		"less than a carrier":   {came(3, 0, ""), 0},
		"a carrier and more":    {came(carrierSize+3, 0, ""), carrierSize},
		"two carriers":          {came(2*carrierSize, 0, ""), 2 * carrierSize},
		"came a while ago":      {came(3, fillFor, ""), 3},
		"a clock that is ahead": {came(3, -time.Hour, ""), 3},
		"in order":              {came(3, 0, "key"), 3},
	} {
		t.Run(name, func(t *testing.T) {
			require.Len(t, b.filling(c.events), c.now)
			require.Equal(t, c.now < len(c.events), b.leaves)
			if b.leaves {
				<-b.bell // It rings for what it left.
			}
		})
	}
}
