package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

// pair is a flow with two effects, a step that is told with them, and a wait.
var pair = billing("") + `
  - createOther:
      call: http
      with:
        method: post
        endpoint: {uri: /bills, authentication: {use: books}}
        body:
          order: '${ $workflow.input.id + "+" }'
          supplier: sup-100
          currency: EUR
          lines: [{sku: A, description: A, quantity: 1, unit_price_cents: 100}]
  - note: {set: {noted: true}}
  - pause: {wait: {milliseconds: 20}}
`

// shaken are the flows that orders go to while a platform is shaken: one effect,
// one after a wait, two in a row.
func shaken() map[string]string {
	return map[string]string{"now": billing(""), "later": billing(waiting(700 * time.Millisecond)), "pair": pair}
}

// owed are the bills that an order comes to once its run is completed.
func owed(order string) []string {
	if strings.HasPrefix(order, "pair-") {
		return []string{order, order + "+"}
	}
	return []string{order}
}

// settles waits until no run is open, and there is one for each order. Those that are
// open at the end of its patience are told, with all that they have done.
func (s *shop) settles(t *testing.T, patience time.Duration, orders int) {
	t.Helper()
	defer func() {
		if t.Failed() {
			s.tellOpen(t)
		}
	}()
	eventually(t, patience, fmt.Sprintf("the %d runs end", orders), func() bool {
		if s.any(t, "waiting") || s.any(t, "running") || s.any(t, "pending") {
			return false
		}
		// One may have gone from a state that was asked for later to one before.
		runs := s.runs(t)
		return len(runs) >= orders && !slices.ContainsFunc(runs, func(r runView) bool {
			return r.State == "waiting" || r.State == "running" || r.State == "pending"
		})
	})
}

func (s *shop) tellOpen(t *testing.T) {
	t.Helper()
	for _, state := range []string{"waiting", "running", "pending"} {
		var open struct{ Items []runView }
		s.must(t, http.MethodGet, "/v1/runs?limit=5&state="+state, 200, nil, &open)
		for _, r := range open.Items {
			_, detail, err := s.p.call(t, s.key, "prod", http.MethodGet, "/v1/runs/"+r.ID, nil)
			t.Logf("%s: %s %v", state, detail, err)
		}
	}
}

// any tells whether a run is in the state.
func (s *shop) any(t *testing.T, state string) bool {
	t.Helper()
	var page struct{ Items []runView }
	s.must(t, http.MethodGet, "/v1/runs?limit=1&state="+state, 200, nil, &page)
	return len(page.Items) > 0
}

// account compares the runs, which have all ended, with what senders were told
// and with the truth of the bookkeeper: one run for each acknowledged event,
// completed, uncertain or, of one that was canceled while it waited, canceled; no bill twice, none missing but of what is uncertain,
// of which there is nothing where the target honours keys; no other bill. It
// counts the runs by their state.
func (s *shop) account(t *testing.T, st *stream) map[string]int {
	t.Helper()
	byEvent := st.byEvent()
	require.Len(t, byEvent, len(st.end()))
	bills := map[string]int{}
	for _, b := range s.books.Bills() {
		bills[b.Order]++
	}
	states := map[string]int{}
	for _, r := range s.runs(t) {
		states[r.State]++
		order, ok := byEvent[r.Event]
		require.True(t, ok, "a run of no accepted event, or the second of one: %s", r.Event)
		delete(byEvent, r.Event)
		if strings.HasPrefix(order, "long-") {
			require.Equal(t, "canceled", r.State, order)
			continue
		}
		for _, bill := range owed(order) {
			switch r.State {
			case "completed":
				require.Equal(t, 1, bills[bill], "bills for %s, which is completed", bill)
			case "uncertain":
				require.LessOrEqual(t, bills[bill], 1, "bills for %s, which is uncertain", bill)
			default:
				t.Errorf("run %s of %s is %s: %s", r.ID, order, r.State, s.run(t, r.ID).Error)
			}
			delete(bills, bill)
		}
	}
	require.Empty(t, byEvent, "events without a run")
	require.Empty(t, bills, "bills without an order")
	if s.mode == ledger.Keys {
		require.Zero(t, states["uncertain"])
	}
	return states
}

// sound requires that no process panicked. What the engine's SDK calls a panic of
// a workflow is one task of it that did not get its document in time, and is
// given again.
func (p *platform) sound(t *testing.T) {
	t.Helper()
	for _, word := range []string{"panic: ", "panicked", "fatal error: "} {
		require.NotContains(t, p.logs(), word)
	}
}

// byEvent gives the orders that were accepted, by the ids of their events.
func (st *stream) byEvent() map[string]string {
	st.mu.Lock()
	defer st.mu.Unlock()
	return maps.Clone(st.events)
}
