package api_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// What has to stay is looked at again in turns, as what is new is: with many of them
// others, and another process, would wait for a sweep longer than it is claimed for.
func TestHeldEventsAreSweptInTurns(t *testing.T) {
	t.Parallel()
	p := keeping(t, storetest.SQLite(t))
	o := p.tenant("acme")
	o.deploy(billing)
	push := o.github("hub")
	start := p.clock.now()
	const events = 450
	for i := range events {
		o.event(push(`{"n":` + strconv.Itoa(i) + `}`))
	}
	o.keep("prod", 1)
	staging := p.key(o.all, `{"namespace":"staging","name":"staging","permissions":["*"]}`)
	p.must(http.StatusOK, p.call("PATCH", "/v1/namespaces/staging", staging, `{"retention_days":1}`), nil)
	p.clock.set(start.Add(2 * day))
	swept := func() (turns int) {
		round := p.api.NewRound(o.org)
		for more := true; more; turns++ {
			require.Less(t, turns, 20, "it begins again and again")
			var err error
			more, err = p.api.SweepTurn(t.Context(), o.org, round, nil)
			require.NoError(t, err)
		}
		return turns
	}
	// None has a run yet: of the new ones 200, 200 and 50, of those that stay 200, 200
	// and 50. The other namespace has none of them, and passes over all in turns.
	first := swept()
	assert.GreaterOrEqual(t, first, 5)
	assert.Equal(t, events, p.events(o.org))
	assert.GreaterOrEqual(t, swept(), 3)
	p.ranAt(o, start)
	assert.GreaterOrEqual(t, swept(), 3)
	assert.Zero(t, p.events(o.org))
	require.NoError(t, p.api.SweepDue(t.Context()))
}

// A replay that comes in between a decision and the removal keeps its lineage, and
// no other event.
func TestAReplayWhileItIsSwept(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p := keeping(t, b)
		o := p.tenant("acme")
		o.deploy(billing)
		start := p.clock.now()
		replayed, other := o.event(o.callFlow("", 1)), o.event(o.callFlow("", 2))
		o.ends(replayed, store.RunFailed, start)
		o.ends(other, store.RunCompleted, start)
		p.must(http.StatusNoContent, p.call("POST", "/v1/dead-letters/"+replayed+"/discard", o.bound, `{}`), nil)
		o.keep("prod", 1)
		p.clock.set(start.Add(2*day + time.Hour))
		decisions := 0
		more, err := p.api.SweepTurn(t.Context(), o.org, p.api.NewRound(o.org), func() {
			if decisions++; decisions == 1 {
				o.event(p.call("POST", "/v1/events/"+replayed+"/replay", o.bound, `{"effects":"same"}`, with("Idempotency-Key", "a")))
			}
		})
		require.NoError(t, err)
		require.False(t, more)
		require.Equal(t, 2, decisions)
		require.Equal(t, http.StatusOK, o.status("/v1/events/"+replayed))
		require.Equal(t, http.StatusGone, o.status("/v1/events/"+other))
	})
}
