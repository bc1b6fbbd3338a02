package activities

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// abandoned lets a first owner begin the step and stops it at a point, as its
// process's death does. It returns what lets the zombie go on.
type abandoned func(r *rig, p *process, n *run) (release func())

func blocked(set func(p *process, wait func())) abandoned {
	return func(r *rig, p *process, n *run) func() {
		at, on, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
		set(p, func() { close(at); <-on })
		go func() {
			defer close(over)
			_, _ = p.step(n.whole(billTask))
		}()
		<-at
		return func() { close(on); <-over }
	}
}

var points = map[string]abandoned{
	"before intent": blocked(func(p *process, wait func()) { p.plug.before = wait }),
	"after intent before send": func(r *rig, p *process, n *run) func() {
		s, ef := asking(r, p, n)
		require.NoError(r, p.intend(r.Context(), s, &ef))
		return func() {}
	},
	"after send before record": func(r *rig, p *process, n *run) func() {
		// The other system works on it long after its caller has died.
		require.NoError(r, r.book.Control(ledger.Control{Count: 1, StallMS: 700, When: ledger.Before}))
		return stalled(r, p, n)
	},
	"after send before answer": func(r *rig, p *process, n *run) func() {
		require.NoError(r, r.book.Control(ledger.Control{Count: 1, StallMS: 2000, When: ledger.After}))
		return stalled(r, p, n)
	},
	"after answer before commit": blocked(func(p *process, wait func()) {
		p.plug.after = func(out json.RawMessage, err error) (json.RawMessage, error) { wait(); return out, err }
	}),
	"after commit": func(r *rig, p *process, n *run) func() {
		require.Nil(r, p.done(n.whole(billTask)).Fault)
		return func() {}
	},
}

func stalled(r *rig, p *process, n *run) func() {
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = p.step(n.whole(billTask))
	}()
	r.eventually("the bookkeeper stalls", func() bool { return r.book.Stats().Stalled == 1 })
	return func() { <-over }
}

// asking is the ledger's answer to the run's one call.
func asking(r *rig, p *process, n *run) (*runState, store.Effect) {
	st, err := p.state(r.Context(), n.owner(), true)
	require.NoError(r, err)
	args := json.RawMessage(`{"body":{"currency":"EUR","lines":[{"description":"Oak","quantity":2,"sku":"A1","unit_price_cents":1050}],"order":"O-1","supplier":"sup-100"},"endpoint":"/bills","method":"POST"}`)
	d, err := p.decide(st, billTask, store.Effect{
		Run: n.ID, Key: billTask, Connection: r.conn.ID, Action: "http.request",
		Digest: schema.Digest([]byte("http"), []byte("request"), []byte(r.conn.ID), args), CreatedAt: p.now(),
	}, means{})
	require.NoError(r, err)
	return st, d.effect
}

// TestNothingIsSentWithoutItsKey: an effect that was not read as one is, without the key
// that the ledger leaves out, reaches no target.
func TestNothingIsSentWithoutItsKey(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
		st, ef := asking(r, p, n)
		conn, err := p.connection(r.Context(), r.namespace, "books")
		require.NoError(r, err)
		sent := func(key string) error {
			ef := ef
			ef.IdempotencyKey = key
			a := &attempt{e: p.Executor, st: st, conn: conn, writes: true, effect: ef, can: means{keyed: true}}
			_, err := a.egress(r.Context(), &sdk.Request{
				Method: "POST", URL: r.book.URL() + "/bills", Header: map[string][]string{"Content-Type": {"application/json"}},
				Body: []byte(`{"currency":"EUR","lines":[{"description":"Oak","quantity":2,"sku":"A1","unit_price_cents":1050}],"order":"O-1","supplier":"sup-100"}`),
			})
			return err
		}
		require.ErrorIs(r, sent(""), errKeyless)
		require.Zero(r, r.book.Stats().Creations)
		require.NoError(r, sent(ef.IdempotencyKey))
		require.EqualValues(r, 1, r.book.Stats().Creations)
	})
}

// TestOwnersOneAfterTheOther abandons an owner at every point of a call and
// lets another take the run over, for every kind of target: the effect happens
// exactly once, or the run stops and asks. Then the zombie wakes up, and
// nothing changes (invariant 7).
func TestOwnersOneAfterTheOther(t *testing.T) {
	t.Parallel()
	for _, mode := range []ledger.Mode{ledger.Keys, ledger.Lookup, ledger.None} {
		for name, abandon := range points {
			t.Run(string(mode)+"/"+name, func(t *testing.T) {
				t.Parallel()
				each(t, mode, func(r *rig) {
					n := r.start(r.deploy(billFlow), `{"order":"O-1"}`)
					release := abandon(r, r.process(), n)
					n = n.taken()
					second := r.process()
					state := follow(r, second, n)
					release()
					bills := r.book.Stats().Bills
					lost := mode == ledger.None && name != "before intent" && name != "after commit"
					switch {
					case lost:
						require.Equal(r, store.RunUncertain, state)
						require.LessOrEqual(r, bills, 1)
						require.Equal(r, store.EffectUncertain, n.effects()[0].State)
					default:
						require.Equal(r, store.RunCompleted, state)
						require.Equal(r, 1, bills, "bills for one order")
						require.JSONEq(r, `{"number":"B-000001"}`, string(n.result().Output))
						require.Len(r, n.effects(), 1)
						require.Equal(r, store.EffectDone, n.effects()[0].State)
					}
					require.Equal(r, state, n.row().State, "a zombie changed the run")
					require.Zero(r, r.book.Stats().Duplicates)
					_, err := r.cell.Work().VerifyAudit(r.Context())
					require.NoError(r, err)
				})
			})
		}
	}
}

// TestAClockThatWasSetProvesNothing kills the owner of a call that the other
// system still works on. By the clock it is hours ago, since that was set: what a
// lookup does not find may be there a moment later, and is not done again.
func TestAClockThatWasSetProvesNothing(t *testing.T) {
	t.Parallel()
	each(t, ledger.Lookup, func(r *rig) {
		n := r.start(r.deploy(billFlow), `{"order":"O-1"}`)
		first := r.process()
		first.ahead(-3 * time.Hour)
		require.NoError(r, r.book.Control(ledger.Control{Count: 1, StallMS: 1000, When: ledger.Before}))
		release := stalled(r, first, n)
		n = n.taken()
		second := r.process()
		_, err := second.step(n.whole(billTask))
		require.ErrorContains(r, err, "may still be worked on")
		release()
		require.Equal(r, store.RunCompleted, follow(r, second, n))
		require.Equal(r, 1, r.book.Stats().Bills)
	})
}

// TestProofGoesOnWhenARunIsTakenUpAnew: the time that proves an effect absent is
// the process's, not that of one carrier.
func TestProofGoesOnWhenARunIsTakenUpAnew(t *testing.T) {
	t.Parallel()
	each(t, ledger.Lookup, func(r *rig) {
		n := r.start(r.deploy(billFlow), `{"order":"O-1"}`)
		points["after intent before send"](r, r.process(), n)()
		n = n.taken()
		second := r.process()
		_, err := second.step(n.whole(billTask))
		require.ErrorContains(r, err, "may still be worked on")
		second.ahead(settleTime)
		n = n.taken()
		require.Nil(r, second.done(n.whole(billTask)).Fault)
		require.Equal(r, 1, r.book.Stats().Bills)
	})
}

// follow does what the interpreter and the engine do for a run of one call:
// it asks until it is answered, later and later, and ends the run.
func follow(r *rig, p *process, n *run) string {
	var res task.StepResult
	var err error
	for i := range 40 {
		if res, err = p.step(n.whole(billTask)); err == nil {
			break
		}
		require.NotContains(r, err.Error(), "O-1", "a payload in an activity's error")
		p.ahead(time.Duration(i) * settleTime / 20)
		wait := time.NewTimer(100 * time.Millisecond)
		<-wait.C
	}
	require.NoError(r, err)
	if res.Stopped {
		return n.row().State
	}
	require.Nil(r, res.Fault)
	require.NoError(r, p.Finish(r.Context(), task.FinishRequest{Owner: n.owner(), Key: ":finish", Output: res.Output, Context: res.Context}))
	return n.row().State
}
