package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/seal"
)

// beside adds a connection to another bookkeeper, and a flow that uses it.
func (s *shop) beside(t *testing.T, name string) *ledger.Server {
	t.Helper()
	books, err := ledger.Start(ledger.Config{Directory: filepath.Join(t.TempDir(), name), Idempotency: ledger.Keys})
	require.NoError(t, err)
	t.Cleanup(func() { _ = books.Close() })
	s.must(t, http.MethodPost, "/v1/connections", 201, map[string]any{
		"name": name, "connector": "http", "settings": map[string]any{"base_url": books.URL()}, "idempotency_header": "Idempotency-Key",
		"use": seal.Use{Hosts: []string{books.Address()}, Inject: seal.Injection{Scheme: seal.SchemeBearer}, CA: books.CA()},
	}, nil)
	s.must(t, http.MethodPut, "/v1/connections/"+name+"/credential", 200, map[string]any{"values": map[string]string{"token": books.Token()}}, nil)
	var f struct{ Flow struct{ ID string } }
	text := strings.NewReplacer("name: billing", "name: "+name, "use: books", "use: "+name).Replace(billing(""))
	s.must(t, http.MethodPost, "/v1/flows", 201, []byte(text), &f)
	var hook struct{ Path, Secret string }
	s.must(t, http.MethodPost, "/v1/sources", 201, map[string]any{"name": name, "flow": f.Flow.ID, "verifier": "standard-webhooks"}, &hook)
	s.hooks[name], s.secrets[name] = hook.Path, hook.Secret
	return books
}

// flood sends so many orders to a flow, several at a time.
func (s *shop) flood(t *testing.T, flow string, n int) (orders []string) {
	t.Helper()
	var wg sync.WaitGroup
	ids := make(chan string, n)
	for i := range n {
		orders = append(orders, fmt.Sprint(flow, "-", i))
		ids <- orders[i]
	}
	close(ids)
	for range 8 {
		wg.Go(func() {
			for id := range ids {
				if status, _ := s.order(t, flow, id); status != http.StatusAccepted {
					t.Errorf("an order was answered %d", status)
				}
			}
		})
	}
	wg.Wait()
	return orders
}

// takes sends one order after the other, and says how long each took from its
// acknowledgement to its bill, the middle one.
func (s *shop) takes(t *testing.T, flow string, books *ledger.Server, n int) time.Duration {
	t.Helper()
	var all []time.Duration
	for range n {
		before := books.Stats().Bills
		s.accepted(t, flow, fmt.Sprint(flow, "-", before, "-", time.Now().UnixNano()))
		begun := time.Now()
		eventually(t, 20*time.Second, "its bill is made", func() bool { return books.Stats().Bills > before })
		all = append(all, time.Since(begun))
	}
	slices.Sort(all)
	t.Logf("%s: %v", flow, all)
	return all[n/2]
}

// TestAFloodAndAHangingTarget: one flow gets many more events than its cell carries
// runs, and its target hangs. Another flow's runs do not wait for it all the
// while, nor in the process that comes after a kill. Nothing of the flood is lost.
func TestAFloodAndAHangingTarget(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			p := newPlatform(t, append(db.env(t), "TENON_CELL_IDLE=0", "TENON_CELL_RUNS=64")...)
			p.start(t)
			s := newShop(t, p, ledger.Keys, map[string]string{"flood": billing("")})
			calm := s.beside(t, "calm")
			s.takes(t, "calm", calm, 3)

			// Who waited for a call of the flood would take as long as that hangs.
			const hangs = 10 * time.Second
			require.NoError(t, s.books.Control(ledger.Control{Count: 1_000_000, StallMS: int(hangs.Milliseconds())}))
			orders := s.flood(t, "flood", 300)
			s.stalled(t, 16)
			require.Less(t, s.takes(t, "calm", calm, 9), hangs/2)
			require.LessOrEqual(t, s.books.Stats().Stalled, int64(16), "calls of one connection at a time")

			require.NoError(t, syscall.Kill(p.pid(t, "tenon-cell"), syscall.SIGKILL))
			s.takes(t, "calm", calm, 1) // It waits for the process.
			require.Less(t, s.takes(t, "calm", calm, 5), hangs/2)

			require.NoError(t, s.books.Control(ledger.Control{}))
			s.reach(t, 2*time.Minute, "completed", len(orders)+calm.Stats().Bills)
			s.bills(t, orders...)
		})
	}
}

// TestAFlowsLimitIsHeld counts a flow's runs where they call, through a kill.
func TestAFlowsLimitIsHeld(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			p := newPlatform(t, append(db.env(t), "TENON_CELL_IDLE=0")...)
			p.start(t)
			s := newShop(t, p, ledger.Keys, map[string]string{"narrow": billing(waiting(100 * time.Millisecond))})
			s.must(t, http.MethodPatch, "/v1/flows/narrow", 200, map[string]any{"max_concurrent_runs": 3}, nil)
			// The first ones wait for long enough to be seen together.
			require.NoError(t, s.books.Control(ledger.Control{Count: 3, StallMS: 5_000}))
			orders := s.flood(t, "narrow", 24)
			s.stalled(t, 3)
			require.NoError(t, s.books.Control(ledger.Control{Count: 1_000_000, StallMS: 300}))
			most, killed := int64(3), false
			eventually(t, 2*time.Minute, "every bill", func() bool {
				stats := s.books.Stats()
				most = max(most, stats.Stalled)
				if stats.Bills >= 6 && !killed {
					killed = true
					require.NoError(t, syscall.Kill(p.pid(t, "tenon-cell"), syscall.SIGKILL))
				}
				return stats.Bills == len(orders)
			})
			require.True(t, killed)
			require.EqualValues(t, 3, most)
			s.reach(t, 30*time.Second, "completed", len(orders))
			s.bills(t, orders...)
		})
	}
}

// TestThrottledConnection: a target answers 429. Flows with other connections do
// not feel it; its own calls are made again when it takes them, by the process
// that is there then, without a word of the flow.
func TestThrottledConnection(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			p := newPlatform(t, append(db.env(t), "TENON_CELL_IDLE=0")...)
			p.start(t)
			s := newShop(t, p, ledger.None, map[string]string{"busy": billing("")})
			calm := s.beside(t, "calm")
			s.takes(t, "calm", calm, 3)

			const away = 20 * time.Second
			require.NoError(t, s.books.Control(ledger.Control{Count: 1_000_000, Fail: 429, RetryAfter: int(away.Seconds())}))
			orders := s.flood(t, "busy", 60)
			eventually(t, 20*time.Second, "it is called", func() bool { return s.books.Stats().Creations > 0 })
			require.Less(t, s.takes(t, "calm", calm, 9), away/2)
			require.LessOrEqual(t, s.books.Stats().Creations, int64(32), "it is left alone: those that were under way, and no other")
			require.Zero(t, s.books.Stats().Bills)

			require.NoError(t, syscall.Kill(p.pid(t, "tenon-cell"), syscall.SIGKILL))
			s.takes(t, "calm", calm, 1)
			require.NoError(t, s.books.Control(ledger.Control{}))
			s.reach(t, 2*time.Minute, "completed", len(orders)+calm.Stats().Bills)
			s.bills(t, orders...)
		})
	}
}
