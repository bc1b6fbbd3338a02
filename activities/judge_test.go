package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/schema/task"
)

// again is the same call in the next attempt of a try around it.
func again(req task.StepRequest, n int) task.StepRequest {
	req.Key = fmt.Sprintf("%s~%d", req.Effect, n)
	return req
}

// TestAnswers has the other system answer in every way that leaves doubt, on
// either side of its own record, and then the flow try again.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const failed, unsettled, parked = store.EffectFailed, store.EffectIntent, store.EffectUncertain
	for _, c := range []struct {
		mode    ledger.Mode
		control ledger.Control
		// first is the effect's state after the first call, fault the status
		// that the flow sees; bills is what is there after a second one.
		first string
		fault int
		bills int
	}{
		{ledger.Keys, ledger.Control{Fail: 400}, failed, 400, 1},
		{ledger.Keys, ledger.Control{Fail: 401}, failed, 401, 1},
		{ledger.Keys, ledger.Control{Fail: 409}, failed, 409, 1},
		{ledger.Keys, ledger.Control{Fail: 425}, failed, 425, 1},
		{ledger.Keys, ledger.Control{Fail: 429}, failed, 429, 1},
		{ledger.Keys, ledger.Control{Fail: 408}, unsettled, 408, 1},
		{ledger.Keys, ledger.Control{Fail: 408, When: ledger.After}, unsettled, 408, 1},
		{ledger.Keys, ledger.Control{Fail: 500}, unsettled, 500, 1},
		{ledger.Keys, ledger.Control{Fail: 500, When: ledger.After}, unsettled, 500, 1},
		{ledger.Keys, ledger.Control{Fail: 503, When: ledger.After}, unsettled, 503, 1},
		{ledger.Keys, ledger.Control{Drop: true}, unsettled, 0, 1},
		{ledger.Keys, ledger.Control{Drop: true, When: ledger.After}, unsettled, 0, 1},
		{ledger.None, ledger.Control{Fail: 400}, failed, 400, 1},
		{ledger.None, ledger.Control{Fail: 409}, failed, 409, 1},
		{ledger.None, ledger.Control{Fail: 425}, failed, 425, 1},
		{ledger.None, ledger.Control{Fail: 429}, failed, 429, 1},
		{ledger.None, ledger.Control{Fail: 408}, parked, 0, 0},
		{ledger.None, ledger.Control{Fail: 500}, parked, 0, 0},
		{ledger.None, ledger.Control{Fail: 500, When: ledger.After}, parked, 0, 1},
		{ledger.None, ledger.Control{Drop: true}, parked, 0, 0},
		{ledger.None, ledger.Control{Drop: true, When: ledger.After}, parked, 0, 1},
		{ledger.Lookup, ledger.Control{Fail: 500, When: ledger.After}, unsettled, 0, 1},
		{ledger.Lookup, ledger.Control{Drop: true, When: ledger.After}, unsettled, 0, 1},
	} {
		t.Run(fmt.Sprintf("%s/%d%s%v", c.mode, c.control.Fail, c.control.When, c.control.Drop), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, storetest.SQLite(t), c.mode)
			c.control.Count = 1
			require.NoError(t, r.book.Control(c.control))
			n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
			res, err := p.step(n.whole(billTask))
			require.Equal(t, c.first, n.effects()[0].State)
			next := n.whole(billTask)
			switch {
			case c.first == parked:
				require.NoError(t, err)
				require.True(t, res.Stopped)
				require.Equal(t, store.RunUncertain, n.row().State)
				require.Equal(t, c.bills, r.book.Stats().Bills)
				return
			case c.fault == http.StatusTooManyRequests:
				require.True(t, res.Slow, "it is asked for again after a while, and the flow is not told")
				p.ahead(2 * time.Second)
			case c.fault == 0:
				require.ErrorContains(t, err, "not known yet") // The engine asks again.
			default:
				require.NoError(t, err)
				require.Equal(t, c.fault, res.Fault.Status)
				next = again(next, 1) // The flow does.
			}
			require.Nil(t, p.done(next).Fault)
			require.Equal(t, c.bills, r.book.Stats().Bills)
			require.Len(t, n.effects(), 1)
			require.Equal(t, store.EffectDone, n.effects()[0].State)
		})
	}
}

// TestOpenEffectTakesNoOtherRequest: an answer of 5xx does not tell that the
// effect is absent, so another request in its place is not sent.
func TestOpenEffectTakesNoOtherRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.Keys)
	require.NoError(t, r.book.Control(ledger.Control{Count: 1, Fail: 500, When: ledger.After}))
	doc := r.deploy(`
do:
  - set: { set: { order: '${ .order + "x" }' } }
  - bill:` + billFlow[len("\ndo:\n  - bill:"):])
	n, p := r.start(doc, `{"order":"O-1"}`), r.process()
	const bill = "/do/1/bill"
	require.Equal(t, 500, p.done(n.whole(bill)).Fault.Status)
	changed := n.whole("/do/0/set")
	changed.Effect = ""
	next := again(n.whole(bill), 1)
	next.Input = p.done(changed).Output
	require.True(t, p.done(next).Stopped)
	require.Equal(t, store.RunUncertain, n.row().State)
	require.Equal(t, 1, r.book.Stats().Bills)
}

// TestDoneEffectAskedForOtherwise: what has happened is not done again in other
// words; a person says whether the second is wanted, too.
func TestDoneEffectAskedForOtherwise(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		doc := r.deploy(`
do:
  - set: { set: { order: '${ .order + "x" }' } }
  - bill:` + billFlow[len("\ndo:\n  - bill:"):])
		n, p := r.start(doc, `{"order":"O-1"}`), r.process()
		const bill = "/do/1/bill"
		require.Nil(r, p.done(n.whole(bill)).Fault)
		changed := n.whole("/do/0/set")
		changed.Effect = ""
		next := again(n.whole(bill), 1)
		next.Input = p.done(changed).Output
		require.True(r, p.done(next).Stopped)
		require.Equal(r, store.RunUncertain, n.row().State)
		require.Equal(r, 1, r.book.Stats().Bills)
		effects := n.effects()
		require.Len(r, effects, 2)
		var asked store.Effect
		for _, ef := range effects {
			if ef.State == store.EffectUncertain {
				asked = ef
			}
		}
		require.NotEmpty(r, asked.ID, "a person has something to decide on")
		require.NoError(r, p.Resolve(&asked, "retry", nil))
		require.NoError(r, r.cell.Work().ApplyCommand(r.Context(), 1, n.ID, []string{store.RunUncertain}, store.RunPending, true, []store.Effect{asked}, nil))
		n, p = n.taken(), r.process()
		next.Owner = n.owner()
		require.Nil(r, p.done(next).Fault)
		require.Equal(r, 2, r.book.Stats().Bills)
		require.NotEqual(r, effects[0].Sent(r.org), effects[1].Sent(r.org))
	})
}

// TestSeveralRequests: an action may send several requests. Each has a key of
// its own, and one that was accepted is not undone by one that was refused.
func TestSeveralRequests(t *testing.T) {
	t.Parallel()
	bill := func(order string, good bool) *sdk.Request {
		supplier := "sup-100"
		if !good {
			supplier = "nobody"
		}
		return &sdk.Request{
			Method: http.MethodPost, Header: map[string][]string{"Content-Type": {"application/json"}},
			Body: []byte(`{"order":"` + order + `","supplier":"` + supplier + `","currency":"EUR","lines":[{"sku":"A","description":"b","quantity":1,"unit_price_cents":1}]}`),
		}
	}
	for _, mode := range []ledger.Mode{ledger.Keys, ledger.None} {
		t.Run(string(mode), func(t *testing.T) {
			r := newRig(t, storetest.SQLite(t), mode)
			n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
			good := false
			p.plug.action = func(ctx context.Context, call *sdk.Call) (any, error) {
				for _, req := range []*sdk.Request{bill("O-1", true), bill("O-2", good)} {
					req.URL = r.book.URL() + "/bills"
					resp, err := call.HTTP(ctx, req)
					if err != nil {
						return nil, err
					}
					if resp.Status >= 400 {
						return nil, &sdk.Fault{Type: sdk.FaultCommunication, Status: resp.Status, Title: "refused"}
					}
				}
				return map[string]int{"number": 1}, nil
			}
			require.NotNil(t, p.done(n.whole(billTask)).Fault)
			require.Equal(t, 1, r.book.Stats().Bills)
			good = true
			res := p.done(again(n.whole(billTask), 1))
			require.Zero(t, r.book.Stats().Duplicates, "the first request had its effect already")
			if mode == ledger.Keys {
				require.Nil(t, res.Fault)
				require.Equal(t, 2, r.book.Stats().Bills)
				require.Equal(t, 2, r.book.Stats().Keys)
			} else {
				require.NotNil(t, res.Fault, "it is not done a second time")
				require.Equal(t, 1, r.book.Stats().Bills)
			}
		})
	}
}

// TestConnectorDiesAfterTheAnswer: its process ends between the other system's
// answer and its own.
func TestConnectorDiesAfterTheAnswer(t *testing.T) {
	t.Parallel()
	for mode, want := range map[ledger.Mode]string{ledger.Keys: store.EffectDone, ledger.Lookup: store.EffectDone, ledger.None: store.EffectUncertain} {
		t.Run(string(mode), func(t *testing.T) {
			r := newRig(t, storetest.SQLite(t), mode)
			n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
			p.plug.after = func(json.RawMessage, error) (json.RawMessage, error) {
				p.plug.after = nil
				return nil, schema.Errorf(schema.CodeUnavailable, "the connector failed")
			}
			_, err := p.step(n.whole(billTask))
			if mode != ledger.None {
				require.Error(t, err)
				require.Nil(t, p.done(n.whole(billTask)).Fault)
			}
			require.Equal(t, want, n.effects()[0].State)
			require.Equal(t, 1, r.book.Stats().Bills)
		})
	}
}

// TestFaultAfterAcceptance: the connector cannot read an answer of 2xx. The
// effect is there, the flow sees the error, and trying again does nothing.
func TestFaultAfterAcceptance(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.None)
	n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
	p.plug.after = func(json.RawMessage, error) (json.RawMessage, error) {
		return nil, &sdk.Fault{Type: sdk.FaultCommunication, Status: 502, Title: "The answer is no JSON"}
	}
	require.Equal(t, 502, p.done(n.whole(billTask)).Fault.Status)
	require.Equal(t, store.EffectDone, n.effects()[0].State)
	require.Equal(t, 502, p.done(again(n.whole(billTask), 1)).Fault.Status)
	require.Equal(t, 1, r.book.Stats().Bills)
	require.EqualValues(t, 1, r.book.Stats().Creations)
}

// TestLiar: a connector that hides that the intent could not be written gets
// nothing sent, and is not believed.
func TestLiar(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.Keys)
	n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
	p.plug.before = func() { n.taken() } // Fenced between the decision and the intent.
	p.plug.after = func(json.RawMessage, error) (json.RawMessage, error) { return json.RawMessage(`{"number":"B-1"}`), nil }
	require.True(t, p.done(n.whole(billTask)).Stopped)
	require.Zero(t, r.book.Stats().Bills)
	require.Empty(t, n.effects())
}

// TestUnreachable: nothing leaves, which is known, so it may be tried again
// whatever the target is.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.None)
	n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
	require.NoError(t, r.book.Close())
	res := p.done(n.whole(billTask))
	require.NotNil(t, res.Fault)
	for _, ef := range n.effects() {
		require.Equal(t, store.EffectFailed, ef.State)
	}
	require.NotNil(t, p.done(again(n.whole(billTask), 1)).Fault)
	require.NotEqual(t, store.RunUncertain, n.row().State)
}
