package e2e

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/seal"
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
	told := s.pager(t)
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
	eventually(t, 20*time.Second, "somebody is told", func() bool { return len(told()) == 2 })
	require.Contains(t, told()[0], `"type":"test"`)
	require.Contains(t, told()[1], `"type":"run.uncertain"`)
	require.Contains(t, told()[1], run)
	require.NotContains(t, told()[1], "it-happened")
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

// pager has the shop's alerts sent to a server of the test's, which checks their
// signatures, and refuses the first of them. told lists what it was told.
func (s *shop) pager(t *testing.T) (told func() []string) {
	t.Helper()
	var mu sync.Mutex
	var bodies []string
	var hook *standardwebhooks.Webhook
	refused := false
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if err != nil || hook == nil || hook.Verify(body, r.Header) != nil || !refused {
			refused = true
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		bodies = append(bodies, string(body))
	}))
	t.Cleanup(server.Close)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	s.must(t, http.MethodPost, "/v1/connections", 201, map[string]any{
		"name": "pager", "connector": "http", "settings": map[string]any{"base_url": server.URL},
		"use": seal.Use{Hosts: []string{strings.TrimPrefix(server.URL, "https://")}, Inject: seal.Injection{Scheme: seal.SchemeBearer}, CA: ca},
	}, nil)
	s.must(t, http.MethodPut, "/v1/connections/pager/credential", 200, map[string]any{"values": map[string]string{"token": "the-token-of-the-pager"}}, nil)
	var target struct{ Secret string }
	s.must(t, http.MethodPut, "/v1/alerts/target", 200, map[string]any{"connection": "pager", "path": "/alerts"}, &target)
	mu.Lock()
	hook, _ = standardwebhooks.NewWebhook(target.Secret)
	mu.Unlock()
	s.must(t, http.MethodPost, "/v1/alerts/test", 202, nil, nil)
	told = func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(bodies)
	}
	var listed struct {
		Items []struct {
			State, Error string
			Attempts     int
		}
	}
	eventually(t, 30*time.Second, "it is said why it did not arrive", func() bool {
		s.must(t, http.MethodGet, "/v1/alerts", 200, nil, &listed)
		return len(listed.Items) == 1 && listed.Items[0].Attempts == 1
	})
	require.Equal(t, "the alert was answered with status 502", listed.Items[0].Error)
	eventually(t, 30*time.Second, "the test alert arrives", func() bool { return len(told()) == 1 })
	return told
}
