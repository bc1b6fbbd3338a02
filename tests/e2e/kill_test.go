package e2e

import (
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestNothingIsLostOrDoneTwice kills each process with -9, one after the other
// and all at once, while senders deliver events, each of them at least twice,
// and the bookkeeper drops answers. Afterwards every event that was answered
// with 202 has one run, completed, and one bill; the audit chains verify; no
// process is left.
func TestNothingIsLostOrDoneTwice(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			env := db.env(t)
			p := newPlatform(t, env...)
			p.start(t)
			s := newShop(t, p, ledger.Keys, map[string]string{"now": billing(""), "later": billing(waiting(700 * time.Millisecond))})
			stream := s.stream(t, 3, 0, "now", "now", "now", "later")
			seen := map[int]string{}
			for _, victims := range [][]string{{"tenon-cell"}, {"tenon-engine"}, {"api"}, {"host"}, {"tenon-engine", "api", "host"}} {
				// Some answers are lost after the bill was written.
				require.NoError(t, s.books.Control(ledger.Control{Count: 2, Drop: true, When: ledger.After}))
				stream.more(t, 12)
				maps.Copy(seen, p.processes(t))
				for _, name := range victims {
					pid := p.pid(t, name)
					require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
				}
				p.replaced(t, victims, seen)
				stream.more(t, 12)
			}
			orders := stream.end()
			t.Logf("%d orders were accepted, %d requests were answered 202", len(orders), stream.answers)
			require.NoError(t, s.books.Control(ledger.Control{}))

			runs := s.reach(t, 60*time.Second, "completed", len(orders))
			require.Len(t, runs, len(orders), "one run for each event")
			events := map[string]bool{}
			for _, r := range runs {
				require.False(t, events[r.Event], "an event has two runs")
				events[r.Event] = true
				require.Contains(t, stream.events, r.Event, "a run of no accepted event")
			}
			s.bills(t, orders...)
			maps.Copy(seen, p.processes(t))
			require.NotContains(t, p.logs(), "panic")
			p.stop(t)
			p.gone(t, seen)
			s.verifyAudit(t, env)
		})
	}
}

// databases are what the platform runs on.
func databases() []struct {
	name string
	env  func(*testing.T) []string
} {
	return []struct {
		name string
		env  func(*testing.T) []string
	}{
		{"SQLite", func(*testing.T) []string { return nil }},
		{"PostgreSQL", func(t *testing.T) []string {
			t.Helper()
			return []string{"TENON_POSTGRES_URL=" + storetest.Postgres(t).Database(t)}
		}},
	}
}

// replaced waits until each of the killed processes has a successor.
func (p *platform) replaced(t *testing.T, names []string, seen map[int]string) {
	t.Helper()
	for _, name := range names {
		eventually(t, 30*time.Second, name+" comes back", func() bool {
			for pid, n := range p.processes(t) {
				if n == name && seen[pid] == "" {
					return true
				}
			}
			return false
		})
	}
}

// stream delivers orders until it is ended, each until it was accepted twice.
type stream struct {
	stop    chan struct{}
	senders sync.WaitGroup
	// gate is closed to senders while it is locked.
	gate sync.RWMutex
	// clock is odd while clocks are off: what is signed now is not fresh then.
	clock atomic.Int64

	mu     sync.Mutex
	orders []string
	// events are the orders by the id of their event.
	events  map[string]string
	answers int
	wrong   []string
}

// stream delivers by so many senders; each pauses between orders, and goes round
// the flows, by name.
func (s *shop) stream(t *testing.T, senders int, pause time.Duration, flows ...string) *stream {
	t.Helper()
	st := &stream{stop: make(chan struct{}), events: map[string]string{}}
	for i := range senders {
		st.senders.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-st.stop:
					return
				case <-time.After(pause):
				}
				flow := flows[n%len(flows)]
				st.gate.RLock()
				st.deliver(t, s, flow, fmt.Sprintf("%s-%d-%d", flow, i, n))
				st.gate.RUnlock()
			}
		})
	}
	t.Cleanup(func() { st.end() })
	return st
}

// deliver sends one order as a webhook's sender does: again until it is
// accepted, and then once more.
func (st *stream) deliver(t *testing.T, s *shop, flow, id string) {
	t.Helper()
	event, pause := "", time.NewTicker(20*time.Millisecond)
	defer pause.Stop()
	for accepted := 0; accepted < 2; <-pause.C {
		if t.Context().Err() != nil {
			return
		}
		before := st.clock.Load()
		status, got := s.order(t, flow, id)
		off := before%2 != 0 || before != st.clock.Load()
		st.mu.Lock()
		switch {
		case status == 202 && (event == "" || event == got):
			if accepted++; accepted == 1 {
				event = got
				st.orders = append(st.orders, id)
				st.events[event] = id
			}
			st.answers++
		case status == 202:
			st.wrong = append(st.wrong, "the same event was given two ids: "+event+" "+got)
			accepted = 2
		case status != 0 && status != 429 && status != 503 && (status != 401 || !off):
			st.wrong = append(st.wrong, fmt.Sprintf("an event was answered %d", status))
		}
		st.mu.Unlock()
	}
}

// note takes an order for one of the stream's that was accepted otherwise.
func (st *stream) note(event, order string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.orders = append(st.orders, order)
	st.events[event] = order
}

// more waits until so many more orders were accepted.
func (st *stream) more(t *testing.T, n int) {
	t.Helper()
	st.mu.Lock()
	want := len(st.orders) + n
	st.mu.Unlock()
	eventually(t, 40*time.Second, "events are accepted", func() bool {
		st.mu.Lock()
		defer st.mu.Unlock()
		return len(st.orders) >= want
	})
	st.mu.Lock()
	defer st.mu.Unlock()
	require.Empty(t, st.wrong)
}

// end stops the senders and returns the orders that were accepted.
func (st *stream) end() []string {
	st.mu.Lock()
	select {
	case <-st.stop:
	default:
		close(st.stop)
	}
	st.mu.Unlock()
	st.senders.Wait()
	return st.orders
}

// hostKeys are the keys of an organization, as a host opens them.
func (p *platform) hostKeys(t *testing.T, organization string) keystore.HostCell {
	t.Helper()
	keys, err := keystore.Open(filepath.Join(p.data, "keystore"))
	require.NoError(t, err)
	root, err := keystore.LoadPair(filepath.Join(p.data, "keys", "root.key"))
	require.NoError(t, err)
	opened, err := keys.OpenForHost(t.Context(), organization, root)
	require.NoError(t, err)
	return opened
}

// verifyAudit checks the whole of each audit chain of the stopped platform.
func (s *shop) verifyAudit(t *testing.T, env []string) {
	t.Helper()
	opened := s.p.hostKeys(t, s.org)
	urls, err := config.DecodeDatabases(opened.Databases[keystore.DatabaseCell])
	require.NoError(t, err)
	cell, err := store.OpenCell(t.Context(), store.CellURLs{Door: urls.Door, Work: urls.Work}, store.SideCell)
	require.NoError(t, err)
	defer func() { require.NoError(t, cell.Close()) }()
	door, err := cell.Door().VerifyAudit(t.Context())
	require.NoError(t, err)
	work, err := cell.Work().VerifyAudit(t.Context())
	require.NoError(t, err)
	require.Positive(t, door.Seq)
	require.Positive(t, work.Seq)

	url := "sqlite:" + filepath.Join(s.p.data, "control", "control.db")
	if len(env) > 0 {
		url = env[0][len("TENON_POSTGRES_URL="):]
	}
	control, err := store.OpenControl(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, control.Close()) }()
	_, err = control.VerifyAudit(t.Context())
	require.NoError(t, err)
}
