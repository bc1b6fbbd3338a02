package activities

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/schema/task"
)

// owner changes the connection, as its owner does through the API.
func (r *rig) owner(change func(*config.Connection)) {
	r.Helper()
	change(&r.setup)
	row := r.conn
	row.SettingsSealed = r.data.Seal(place.Connection(r.org, row.ID), mustJSONOf(r.T, r.setup))
	require.NoError(r, r.api.Door().UpdateConnection(r.Context(), row, draft()))
}

// order starts a run that makes one bill by the connection.
func (r *rig) order(id, connection string) *run {
	r.Helper()
	return r.start(r.deploy(strings.ReplaceAll(billFlow, "books", connection)), `{"order":"`+id+`"}`)
}

// TestThrottled: a system answers 429. The call is known not to have happened,
// on the disk, and is made again after the wait, by whatever process; calls of the
// same connection are sent away before anything leaves, those of another are not.
func TestThrottled(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		other := r.connect("others", r.setup)
		r.credential(other.ID, other.ID, 1, r.setup.Use, r.book.Token())
		p := r.process()
		first, second, beside := r.order("O-1", "books"), r.order("O-2", "books"), r.order("O-3", "others")
		require.NoError(r, r.book.Control(ledger.Control{Count: 1, Fail: 429, RetryAfter: 30}))
		res := p.done(first.whole(billTask))
		require.True(r, res.Slow)
		require.InDelta(r, 30*time.Second, res.Wait, float64(time.Second))
		require.Equal(r, store.EffectFailed, first.effects()[0].State)

		res, err := p.local(second.whole(billTask))
		require.NoError(r, err)
		require.True(r, res.Slow)
		require.Greater(r, res.Wait, 20*time.Second)
		require.Empty(r, second.effects())
		require.Nil(r, p.done(beside.whole(billTask)).Fault)
		require.EqualValues(r, 2, r.book.Stats().Creations)

		// The process dies: the next one knows of no wait, and repeats nothing that
		// was done.
		after := r.process()
		first = first.taken()
		require.Nil(r, after.done(first.whole(billTask)).Fault)
		require.Equal(r, store.EffectDone, first.effects()[0].State)
		require.Equal(r, 2, first.effects()[0].Attempts)
		p.ahead(31 * time.Second)
		require.Nil(r, p.done(second.whole(billTask)).Fault)
		require.Equal(r, 3, r.book.Stats().Bills)
		require.Zero(r, r.book.Stats().Duplicates)
	})
}

// TestPatience: how long a step goes on by itself is the connection's to say; after
// it the flow is told, by an error that it can catch, and nothing hangs for ever.
func TestPatience(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.None)
	p := r.process()
	patience := func(seconds int) { r.owner(func(c *config.Connection) { c.ThrottlePatience = &seconds }) }
	told := func(n *run) {
		t.Helper()
		res := p.done(n.whole(billTask))
		require.NotNil(t, res.Fault)
		require.Equal(t, 429, res.Fault.Status)
	}
	require.NoError(t, r.book.Control(ledger.Control{Count: 100, Fail: 429, RetryAfter: 60}))
	n := r.order("O-1", "books")
	require.True(t, p.done(n.whole(billTask)).Slow)
	for i := 1; i < 5; i++ {
		p.ahead(time.Duration(61*i) * time.Second)
		if i < 4 {
			require.True(t, p.done(n.whole(billTask)).Slow, i)
		} else {
			told(n) // It could begin after five minutes only.
		}
	}
	require.EqualValues(t, 5, r.book.Stats().Creations)

	// One that comes to a closed gate is told as well, and sends nothing.
	patience(30)
	before := r.book.Stats().Creations
	told(r.order("O-2", "books"))
	require.Equal(t, before, r.book.Stats().Creations)

	// None: the flow is told at once, and others do not wait.
	p.ahead(time.Hour)
	patience(0)
	told(r.order("O-3", "books"))
	require.NoError(t, r.book.Control(ledger.Control{}))
	require.Nil(t, p.done(r.order("O-4", "books").whole(billTask)).Fault)
}

// TestPatienceOfCarriers: a carrier is silent while its step is put off, which is no
// reason to give the run another one; and one that gets it all the same, from this
// process, does not begin the step's patience anew.
func TestPatienceOfCarriers(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.None)
	p, n := r.process(), r.order("O-1", "books")
	require.NoError(t, r.book.Control(ledger.Control{Count: 100, Fail: 429, RetryAfter: 240}))
	res := p.done(n.whole(billTask))
	require.True(t, res.Slow)
	require.Greater(t, res.Wait, 4*time.Minute-time.Second)
	require.Equal(t, res.Wait, p.Heard(n.ID).Put)

	p.ahead(190 * time.Second)
	p.Leave(n.ID)
	n = n.taken()
	_, err := p.Recall(t.Context(), task.RecallRequest{Owner: n.owner()})
	require.NoError(t, err)
	require.Zero(t, p.Heard(n.ID).Put, "it may ask at once")
	require.True(t, p.done(n.whole(billTask)).Slow)
	require.LessOrEqual(t, p.Heard(n.ID).Put, 51*time.Second)

	p.ahead(242 * time.Second)
	res = p.done(n.whole(billTask))
	require.NotNil(t, res.Fault, "the next call could leave after eight minutes only")
	require.Equal(t, 429, res.Fault.Status)
	require.EqualValues(t, 2, r.book.Stats().Creations)

	require.NotEmpty(t, p.puts)
	require.NoError(t, p.Finish(t.Context(), task.FinishRequest{Owner: n.owner(), Key: task.FinishKey, Fault: res.Fault}))
	require.Empty(t, p.puts)
}

// TestOverloaded: 503 with Retry-After says nothing of what was done. With a key
// the same request goes out after the wait; without, it is a question at once.
func TestOverloaded(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		n, p := r.order("O-1", "books"), r.process()
		require.NoError(r, r.book.Control(ledger.Control{Count: 2, Fail: 503, RetryAfter: 5, When: ledger.After}))
		for i := range 2 {
			res := p.done(n.whole(billTask))
			require.True(r, res.Slow)
			require.Equal(r, store.EffectIntent, n.effects()[0].State, "nobody knows")
			p.ahead(time.Duration(i+1) * 6 * time.Second)
		}
		require.Nil(r, p.done(n.whole(billTask)).Fault)
		require.Equal(r, 1, r.book.Stats().Bills)
		require.EqualValues(r, 3, r.book.Stats().Creations)
	})
	r := newRig(t, storetest.SQLite(t), ledger.None)
	n, p := r.order("O-1", "books"), r.process()
	require.NoError(t, r.book.Control(ledger.Control{Count: 1, Fail: 503, RetryAfter: 5, When: ledger.After}))
	require.True(t, p.done(n.whole(billTask)).Stopped)
	require.Equal(t, store.RunUncertain, n.row().State)
}

// TestToldOfAClosedGate: a flow whose patience ends at a closed gate is told that
// nothing was sent only where that is so.
func TestToldOfAClosedGate(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.Keys)
	p := r.process()
	n, closes, fresh := r.order("O-1", "books"), r.order("O-2", "books"), r.order("O-3", "books")
	require.NoError(t, r.book.Control(ledger.Control{Count: 1, Fail: 503, RetryAfter: 5, When: ledger.After}))
	require.True(t, p.done(n.whole(billTask)).Slow)
	p.ahead(6 * time.Second)
	require.NoError(t, r.book.Control(ledger.Control{Count: 1, Fail: 429, RetryAfter: 200}))
	require.True(t, p.done(closes.whole(billTask)).Slow)
	seconds := 30
	r.owner(func(c *config.Connection) { c.ThrottlePatience = &seconds })
	told := func(n *run) string {
		t.Helper()
		res := p.done(n.whole(billTask))
		require.NotNil(t, res.Fault)
		return p.value(n, res.Fault.Ref)
	}
	require.Contains(t, told(fresh), "nothing was sent")
	require.Equal(t, 1, r.book.Stats().Bills)
	require.NotContains(t, told(n), "nothing was sent")
}

// TestCallsAtATime counts at the other system: never more calls than the
// connection allows. Those in line answer the engine in time, and each is made.
func TestCallsAtATime(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.Keys)
	r.owner(func(c *config.Connection) { c.MaxCalls = 3 })
	p := r.process()
	require.NoError(t, r.book.Control(ledger.Control{Count: 1000, StallMS: 1500}))
	doc := r.deploy(billFlow)
	const runs = 9
	var wg sync.WaitGroup
	slow := make(chan bool, runs)
	for i := range runs {
		n := r.start(doc, fmt.Sprintf(`{"order":"O-%d"}`, i))
		wg.Go(func() {
			begun := time.Now()
			res, err := p.local(n.whole(billTask))
			slow <- err == nil && res.Slow && time.Since(begun) < 2*task.LocalLimit
			for err == nil && res.Slow {
				res, err = p.step(n.whole(billTask))
			}
		})
	}
	most := int64(0)
	r.eventually("every bill", func() bool {
		s := r.book.Stats()
		most = max(most, s.Stalled)
		return s.Bills == runs
	})
	wg.Wait()
	require.EqualValues(t, 3, most)
	for range runs {
		require.True(t, <-slow)
	}
}

// TestSuspendedInLine: a connection is suspended, or its flow paused, while a call
// waits for its turn: it sends nothing (invariant 1).
func TestSuspendedInLine(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.None)
	r.owner(func(c *config.Connection) { c.MaxCalls = 1 })
	p := r.process()
	require.NoError(t, r.book.Control(ledger.Control{Count: 1, StallMS: 2000}))
	ahead, waits, paused := r.order("O-1", "books"), r.order("O-2", "books"), r.order("O-3", "books")
	var wg sync.WaitGroup
	answers := make(map[*run]task.StepResult)
	errs := make(map[*run]error)
	var mu sync.Mutex
	ask := func(n *run) {
		wg.Go(func() {
			res, err := p.step(n.whole(billTask))
			mu.Lock()
			defer mu.Unlock()
			answers[n], errs[n] = res, err
		})
	}
	inLine := func(n int) {
		r.eventually("it stands in line", func() bool {
			p.turns.mu.Lock()
			defer p.turns.mu.Unlock()
			g := p.turns.gates[r.conn.ID]
			return g != nil && g.live == 1 && len(g.line) == n
		})
	}
	ask(ahead)
	inLine(0)
	ask(paused)
	inLine(1)
	ask(waits)
	inLine(2)
	require.NoError(t, r.api.Door().ChangeFlow(t.Context(), r.namespace, paused.Flow, store.FlowChange{State: store.FlowPaused}, draft()))
	row := r.conn
	row.State = store.ConnectionSuspended
	require.NoError(t, r.api.Door().UpdateConnection(t.Context(), row, draft()))
	wg.Wait()
	require.NoError(t, errs[ahead])
	require.Error(t, errs[paused])
	require.NoError(t, errs[waits])
	require.NotNil(t, answers[waits].Fault)
	require.EqualValues(t, 1, r.book.Stats().Creations)
	require.Equal(t, schema.CodeRefused, schema.CodeOf(func() error {
		_, err := p.connection(t.Context(), r.namespace, "books")
		return err
	}()))
}

// TestThrottledLookup: the question whether an effect happened waits, too, and
// waiting is no failed attempt.
func TestThrottledLookup(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.Lookup)
	n, p := r.order("O-1", "books"), r.process()
	require.NoError(t, r.book.Control(ledger.Control{Count: 1, Drop: true, When: ledger.After}))
	_, err := p.step(n.whole(billTask))
	require.Error(t, err)
	other := r.order("O-2", "books")
	require.NoError(t, r.book.Control(ledger.Control{Count: 1, Fail: 429, RetryAfter: 200}))
	require.True(t, p.done(other.whole(billTask)).Slow)
	for range 2 * maxRepeats {
		require.True(t, p.done(n.whole(billTask)).Slow)
	}
	p.ahead(220 * time.Second)
	require.Nil(t, p.done(n.whole(billTask)).Fault)
	require.Equal(t, 1, r.book.Stats().Bills)
}

// TestThrottledBeforeIntent: an action reads before it writes, and its read is
// throttled when an earlier attempt's outcome is not known: each ask waits, and
// waiting is no failed attempt, however the outcome is found out.
func TestThrottledBeforeIntent(t *testing.T) {
	t.Parallel()
	for _, mode := range []ledger.Mode{ledger.Keys, ledger.Lookup} {
		t.Run(string(mode), func(t *testing.T) {
			r := newRig(t, storetest.SQLite(t), mode)
			var calm, mended atomic.Bool
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				switch {
				case !mended.Load() && req.Method == http.MethodPost:
					panic(http.ErrAbortHandler)
				case mended.Load() && !calm.Load():
					w.Header().Set("Retry-After", "1")
					w.WriteHeader(http.StatusTooManyRequests)
				}
			}))
			defer server.Close()
			setup := r.setup
			setup.Settings = json.RawMessage(`{"base_url":"` + server.URL + `"}`)
			setup.Use.Hosts = []string{server.Listener.Addr().String()}
			setup.Use.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
			other := r.connect("others", setup)
			r.credential(other.ID, other.ID, 1, setup.Use, r.book.Token())
			n, p := r.order("O-1", "others"), r.process()
			p.plug.action = func(ctx context.Context, call *sdk.Call) (any, error) {
				if strings.Contains(string(call.Input), `"query"`) {
					return map[string]any{"bills": []any{}}, nil // The lookup, which finds nothing.
				}
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					resp, err := call.HTTP(ctx, &sdk.Request{Method: method, URL: server.URL})
					if err != nil {
						return nil, err
					}
					if resp.Status >= 400 {
						return nil, &sdk.Fault{Type: sdk.FaultCommunication, Status: resp.Status, Title: "refused"}
					}
				}
				return map[string]int{"number": 1}, nil
			}
			_, err := p.step(n.whole(billTask))
			require.Error(t, err, "nobody knows")
			require.Equal(t, store.EffectIntent, n.effects()[0].State)
			mended.Store(true)
			for i := range 2 * maxRepeats {
				p.ahead(settleTime + time.Duration(1+3*i)*time.Second)
				require.True(t, p.done(n.whole(billTask)).Slow, i)
			}
			calm.Store(true)
			p.ahead(settleTime + 100*time.Second)
			require.Nil(t, p.done(n.whole(billTask)).Fault)
			require.Equal(t, store.EffectDone, n.effects()[0].State)
		})
	}
}
