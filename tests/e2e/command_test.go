package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

// tell sends a command about a run, which must be accepted.
func (s *shop) tell(t *testing.T, run, verb string, body map[string]any) {
	t.Helper()
	s.must(t, http.MethodPost, "/v1/runs/"+run+"/"+verb, 202, body, nil)
}

// becomes waits until the run is in the state.
func (s *shop) becomes(t *testing.T, run, state string) runView {
	t.Helper()
	var r runView
	eventually(t, 30*time.Second, "the run is "+state, func() bool {
		r = s.run(t, run)
		return r.State == state
	})
	return r
}

// TestRunsAreCanceled cancels a run that waits and one in the middle of its
// call. Neither does anything after that, and the cell goes on with others.
func TestRunsAreCanceled(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.start(t)
	s := newShop(t, p, ledger.Keys, map[string]string{"now": billing(""), "later": billing(waiting(4 * time.Second))})
	s.accepted(t, "later", "canceled-while-waiting")
	waits := s.reach(t, 20*time.Second, "waiting", 1)[0].ID
	s.tell(t, waits, "cancel", map[string]any{"reason": "a test"})
	s.becomes(t, waits, "canceled")

	require.NoError(t, s.books.Control(ledger.Control{Count: 1, StallMS: 3000, When: ledger.Before}))
	s.accepted(t, "now", "under-way")
	s.stalled(t, 1)
	calls := s.runs(t)[0].ID
	s.tell(t, calls, "cancel", map[string]any{})
	s.becomes(t, calls, "canceled")
	// The call is not torn off: its bill is written, and once.
	eventually(t, 20*time.Second, "the call ends", func() bool { return s.books.Stats().Bills == 1 })

	// The timer of the first has passed when this one's has.
	s.accepted(t, "later", "after")
	s.reach(t, 30*time.Second, "completed", 1)
	s.bills(t, "under-way", "after")
	require.Equal(t, "canceled", s.run(t, waits).State)
	require.Equal(t, "canceled", s.run(t, calls).State)
}

// TestAnUncertainEffectIsDecided loses the answer of a system that knows no
// keys, after it acted and before. Nobody can tell which: the run stops, and
// a person decides.
func TestAnUncertainEffectIsDecided(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.start(t)
	s := newShop(t, p, ledger.None, map[string]string{"now": billing("")})
	stuck := func(id string, when ledger.When) (run, effect string) {
		require.NoError(t, s.books.Control(ledger.Control{Count: 1, Drop: true, When: when}))
		s.accepted(t, "now", id)
		s.reach(t, 30*time.Second, "uncertain", 1)
		for _, r := range s.runs(t) {
			if r.State == "uncertain" {
				run = r.ID
			}
		}
		r := s.run(t, run)
		require.Len(t, r.Effects, 1)
		require.Equal(t, "uncertain", r.Effects[0].State)
		return run, r.Effects[0].ID
	}

	run, effect := stuck("it-happened", ledger.After)
	s.tell(t, run, "resolve", map[string]any{"effect": effect, "outcome": "done", "output": map[string]any{"number": "B-1"}})
	s.becomes(t, run, "completed")

	run, effect = stuck("it-did-not", ledger.Before)
	s.tell(t, run, "resolve", map[string]any{"effect": effect, "outcome": "retry"})
	s.becomes(t, run, "completed")

	run, effect = stuck("it-shall-not", ledger.Before)
	s.tell(t, run, "resolve", map[string]any{"effect": effect, "outcome": "failed"})
	s.becomes(t, run, "failed")

	run, _ = stuck("given-up", ledger.Before)
	s.tell(t, run, "cancel", map[string]any{})
	s.becomes(t, run, "canceled")
	s.bills(t, "it-happened", "it-did-not")
}
