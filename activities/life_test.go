package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	connectorhttp "github.com/tenonhq/tenon/connectors/http"
	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/schema/task"
)

// plain asks for a step that is no call.
func (n *run) plain(pointer string, phase task.Phase, input task.Ref) task.StepRequest {
	key := pointer
	if phase != task.PhaseWhole {
		key += ":" + string(phase)
	}
	return task.StepRequest{Owner: n.owner(), Key: key, Pointer: pointer, Phase: phase, Input: input}
}

// TestLostJournal: a step was computed in memory only, the engine kept what it
// was told, and the process died. The next step's input is nowhere: the run is
// given back, walked again from its journal by a new owner, and its effect
// happens once.
func TestLostJournal(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		doc := r.deploy(`
do:
  - set: { set: { order: '${ .order + (now | tostring)[:0] }' } }
  - bill:` + billFlow[len("\ndo:\n  - bill:"):])
		n, first := r.start(doc, `{"order":"O-1"}`), r.process()
		out := first.done(n.plain("/do/0/set", task.PhaseWhole, "")).Output
		second := r.process()
		second.forgets = true
		req := n.whole("/do/1/bill")
		req.Input = out
		require.True(r, second.done(req).Stopped)
		require.Equal(r, []string{n.ID}, second.requeued)
		require.Empty(r, n.effects())

		second.forgets = false
		n = n.taken()
		out = second.done(n.plain("/do/0/set", task.PhaseWhole, "")).Output
		req = n.whole("/do/1/bill")
		req.Input = out
		require.Nil(r, second.done(req).Fault)
		require.Equal(r, 1, r.book.Stats().Bills)
		// The intent took the step before it along.
		_, steps, _, err := r.cell.Work().LoadRun(r.Context(), n.ID)
		require.NoError(r, err)
		require.Len(r, steps, 2)
		// The first owner, still alive after all, is fenced.
		require.True(r, first.done(func() task.StepRequest { q := n.whole("/do/1/bill"); q.Owner.Epoch = 1; return q }()).Stopped)
		require.Equal(r, 1, r.book.Stats().Bills)
	})
}

// TestLostDecision: the engine knows a branch that was decided by a process that
// died before it was journalled. Its carrier could go on, every value being
// there, but the next walk might decide otherwise: it is given back instead.
func TestLostDecision(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		doc := r.deploy(`
do:
  - pick: { switch: [{ even: { when: '${ now % 2 == 0 }', then: bill } }, { odd: { then: end } }] }
  - bill:` + billFlow[len("\ndo:\n  - bill:"):])
		n, first := r.start(doc, `{"order":"O-1"}`), r.process()
		first.done(n.plain("/do/0/pick", task.PhaseWhole, ""))
		second := r.process()
		second.forgets = true
		require.True(r, second.done(n.whole("/do/1/bill")).Stopped)
		require.NoError(r, second.Finish(r.Context(), task.FinishRequest{Owner: n.owner(), Key: ":finish"}))
		require.Equal(r, []string{n.ID, n.ID}, second.requeued)
		require.Equal(r, store.RunPending, n.row().State)
		require.Zero(r, r.book.Stats().Creations)
	})
}

// TestWaiting: a wait is on the disk before it is told, says how much of it is
// left to whoever asks later, and the row stops saying so before what follows.
func TestWaiting(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		n, p := r.start(r.deploy("\ndo:\n  - pause: { wait: PT1H }\n  - set: { set: { a: 1 } }\n"), `{}`), r.process()
		enter := n.plain("/do/0/pause", task.PhaseEnter, "")
		require.Equal(r, time.Hour, p.done(enter).Wait)
		require.Equal(r, store.RunWaiting, n.row().State)
		require.False(r, p.Heard(n.ID).Works)
		later := r.process()
		later.forgets = true // The same carrier, in the engine all the while.
		later.ahead(40 * time.Minute)
		left := later.done(enter).Wait
		require.InDelta(r, float64(20*time.Minute), float64(left), float64(time.Minute))
		require.NotZero(r, later.Heard(n.ID).Asks, "a process that did not know the run hears its carrier, too")
		require.False(r, later.Heard(n.ID).Works, "it was told to wait for the rest")
		_, err := later.Recall(r.Context(), task.RecallRequest{Owner: n.owner()})
		require.NoError(r, err)
		require.False(r, later.Heard(n.ID).Works, "it may have come to wait for the rest")
		later.ahead(2 * time.Hour)
		require.Zero(r, later.done(enter).Wait)
		require.True(r, later.Heard(n.ID).Works)
		later.done(n.plain("/do/1/set", task.PhaseWhole, ""))
		require.Equal(r, store.RunRunning, n.row().State, "the engine may know steps that the journal does not")
		_, steps, _, err := r.cell.Work().LoadRun(r.Context(), n.ID)
		require.NoError(r, err)
		require.Len(r, steps, 2)
	})
}

// TestRecordedTime: expressions see the time that is recorded for their step,
// and a call that is repeated sees the time of its first intent, so that it is
// the same request.
func TestRecordedTime(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		doc := r.deploy(strings.Replace(billFlow, "sup-100", "sup-100\n          note: ${ now | tostring }", 1))
		n, p := r.start(doc, `{"order":"O-1"}`), r.process()
		require.NoError(r, r.book.Control(ledger.Control{Count: 1, Drop: true, When: ledger.After}))
		_, err := p.step(n.whole(billTask))
		require.Error(r, err)
		n, p = n.taken(), r.process()
		p.ahead(time.Hour)
		require.Nil(r, p.done(n.whole(billTask)).Fault)
		require.Equal(r, 1, r.book.Stats().Bills)
		// So does the next attempt of a try, whose effect has happened.
		require.Nil(r, p.done(again(n.whole(billTask), 1)).Fault)
		require.EqualValues(r, 2, r.book.Stats().Creations)
		bills := r.book.Bills()
		require.InDelta(r, float64(time.Now().Unix()), mustFloat(r.T, bills[0].Note), 60)
	})
}

func mustFloat(t *testing.T, s string) (f float64) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(s), &f))
	return f
}

// TestLiveCallIsJoined: the attempt of a try times out while its call is live,
// and the next attempt asks for the same effect: one call, for any target.
func TestLiveCallIsJoined(t *testing.T) {
	t.Parallel()
	for _, mode := range []ledger.Mode{ledger.Keys, ledger.None} {
		t.Run(string(mode), func(t *testing.T) {
			each(t, mode, func(r *rig) {
				n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
				require.NoError(r, r.book.Control(ledger.Control{Count: 1, StallMS: 1500}))
				slow, err := p.local(n.whole(billTask))
				require.NoError(r, err)
				require.True(r, slow.Slow)
				var wg sync.WaitGroup
				for i := range 4 {
					wg.Go(func() {
						res, err := p.step(again(n.whole(billTask), i))
						if err != nil || res.Fault != nil || res.Stopped {
							r.Errorf("attempt %d: %v %+v", i, err, res)
						}
					})
				}
				wg.Wait()
				require.Nil(r, p.done(n.whole(billTask)).Fault)
				require.EqualValues(r, 1, r.book.Stats().Creations)
			})
		})
	}
}

// TestHandover: the run gets a new owner in the same process while its call is
// live. The new one waits for the call and records what it came to.
func TestHandover(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
		require.NoError(r, r.book.Control(ledger.Control{Count: 1, StallMS: 500}))
		release := stalled(r, p, n)
		p.Forget(n.ID)
		n = n.taken()
		require.Nil(r, p.done(n.whole(billTask)).Fault)
		release()
		require.EqualValues(r, 1, r.book.Stats().Creations)
		require.Equal(r, store.EffectDone, n.effects()[0].State)
	})
}

// TestFinish: asked twice it changes nothing; an output that faults fails the
// run; a call that is live when a timeout ends the run is waited for.
func TestFinish(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		n, p := r.start(r.deploy("\noutput: { as: '${ .a + \"x\" }' }\ndo:\n  - set: { set: { a: 1 } }\n"), `{}`), r.process()
		out := p.done(n.plain("/do/0/set", task.PhaseWhole, "")).Output
		for range 3 {
			require.NoError(r, p.Finish(r.Context(), task.FinishRequest{Owner: n.owner(), Key: ":finish", Output: out}))
		}
		require.Equal(r, store.RunFailed, n.row().State)
		require.Equal(r, flow.TypeExpression, n.row().ErrorType)
		require.NotEmpty(r, n.result().Error)
		require.Empty(r, p.runs, "an ended run is dropped from memory")
		entries, err := r.cell.Work().ListAudit(r.Context(), store.AuditFilter{Action: "run.failed"})
		require.NoError(r, err)
		require.Len(r, entries, 1)

		n = r.start(r.deploy(billFlow), `{"order":"O-1"}`)
		require.NoError(r, r.book.Control(ledger.Control{Count: 1, StallMS: 300}))
		release := stalled(r, p, n)
		timeout := &task.Fault{Type: flow.TypeTimeout, Status: 408}
		require.NoError(r, p.Finish(r.Context(), task.FinishRequest{Owner: n.owner(), Key: ":finish", Fault: timeout}))
		release()
		require.Equal(r, store.RunFailed, n.row().State)
		require.Equal(r, 1, r.book.Stats().Bills)
		require.Equal(r, store.EffectDone, n.effects()[0].State, "the ledger says what became of the call")
		require.Empty(r, p.runs)
	})
}

// TestFinishLeavesNothingOpen: a flow that gave up on an effect with an unknown
// outcome leaves it on the record as uncertain.
func TestFinishLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.Keys)
	n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
	require.NoError(t, r.book.Control(ledger.Control{Count: 1, Fail: 500, When: ledger.After}))
	f := p.done(n.whole(billTask)).Fault
	require.NoError(t, p.Finish(t.Context(), task.FinishRequest{Owner: n.owner(), Key: ":finish", Fault: f}))
	require.Equal(t, store.RunFailed, n.row().State)
	require.Equal(t, store.EffectUncertain, n.effects()[0].State)
}

// TestCustomErrorType: the type of an error may be computed from a payload, and
// a run's row is in clear.
func TestCustomErrorType(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.Keys)
	n, p := r.start(r.deploy("\ndo:\n  - raise: { raise: { error: { type: '${ .order }', status: 400 } } }\n"), `{"order":"`+canary+`"}`), r.process()
	f := p.done(n.plain("/do/0/raise", task.PhaseWhole, "")).Fault
	require.NoError(t, p.Finish(t.Context(), task.FinishRequest{Owner: n.owner(), Key: ":finish", Fault: f}))
	require.Equal(t, "custom", n.row().ErrorType)
	require.Contains(t, string(n.result().Error), canary)
	require.NotContains(t, r.logged(), canary)
}

// TestRecall pages through a journal that is longer than a page, in another
// process, in the order of the keys.
func TestRecall(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.Keys)
	n, p := r.start(r.deploy(billFlow), `{}`), r.process()
	st, err := p.state(t.Context(), n.owner(), true)
	require.NoError(t, err)
	const steps = 2*task.RecallPage + 1
	for i := range steps {
		req := task.StepRequest{Owner: n.owner(), Key: fmt.Sprintf("/do/0/x[%05d]", i)}
		require.NoError(t, p.journal(st, req, "set", time.Now(), task.Record{Result: task.StepResult{Count: i}}, false, false))
	}
	require.NoError(t, p.commit(t.Context(), st, store.RunCommit{}))
	p = r.process()
	var seen []task.Recalled
	req := task.RecallRequest{Owner: n.owner()}
	for pages := 1; ; pages++ {
		page, err := p.Recall(t.Context(), req)
		require.NoError(t, err)
		seen = append(seen, page.Steps...)
		if page.Next == "" {
			require.Equal(t, 3, pages)
			break
		}
		req.After = page.Next
	}
	require.Len(t, seen, steps)
	for i, s := range seen {
		require.Equal(t, i, s.Result.Count)
	}
	req.Owner.Epoch++
	page, err := p.Recall(t.Context(), req)
	require.NoError(t, err)
	require.True(t, page.Stopped)
}

// TestBounds: values and runs that are too large fault, and others go on.
func TestBounds(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.Keys)
	doc := r.deploy(`
do:
  - large: { set: { a: '${ .text * 5000000 }' } }
  - much: { set: { a: '${ .text * 3000000 }' } }
`)
	n, p := r.start(doc, `{"text":"x"}`), r.process()
	require.Equal(t, flow.TypeRuntime, p.done(n.plain("/do/0/large", task.PhaseWhole, "")).Fault.Type)
	full := 0
	for i := range 14 {
		req := n.plain("/do/1/much", task.PhaseWhole, "")
		req.Key = fmt.Sprintf("%s[%d]", req.Key, i)
		if f := p.done(req).Fault; f != nil {
			require.Equal(t, flow.TypeRuntime, f.Type)
			full++
		}
	}
	require.Equal(t, 3, full)
	require.NoError(t, p.Finish(t.Context(), task.FinishRequest{Owner: n.owner(), Key: ":finish"}))
	require.Empty(t, p.runs)

	// What a call yields is bounded, too; its effect has happened.
	n = r.start(r.deploy(billFlow), `{"order":"O-1"}`)
	p.plug.after = func(json.RawMessage, error) (json.RawMessage, error) {
		return json.RawMessage(`"` + strings.Repeat("x", maxValue) + `"`), nil
	}
	require.Equal(t, flow.TypeRuntime, p.done(n.whole(billTask)).Fault.Type)
	require.Equal(t, store.EffectDone, n.effects()[0].State)
}

// TestPanic: a step that panics ends neither the process nor another run, and
// what it panicked with stays out of errors and logs.
func TestPanic(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.Keys)
	n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
	p.plug.before = func() { panic(canary) }
	_, err := p.step(n.whole(billTask))
	require.ErrorContains(t, err, "panicked")
	require.NotContains(t, err.Error()+r.logged(), canary)
	p.plug.before = nil
	require.Nil(t, p.done(n.whole(billTask)).Fault)
}

// TestAudit: that a credential was used is in the transaction of the intent.
func TestAudit(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
		require.NoError(r, r.book.Control(ledger.Control{Count: 1, StallMS: 400}))
		release := stalled(r, p, n)
		entries, err := r.cell.Work().ListAudit(r.Context(), store.AuditFilter{Action: "credential.used"})
		require.NoError(r, err)
		require.Len(r, entries, 1, "the process may die now")
		require.Equal(r, r.conn.ID, entries[0].Target)
		release()
		require.NoError(r, p.Finish(r.Context(), task.FinishRequest{Owner: n.owner(), Key: ":finish"}))
		entries, err = r.cell.Work().ListAudit(r.Context(), store.AuditFilter{})
		require.NoError(r, err)
		require.Len(r, entries, 3, "used, proven by its first use, and the run's end")
		_, err = r.cell.Work().VerifyAudit(r.Context())
		require.NoError(r, err)
	})
}

// TestReadOnly: a call that counts as a read by its method sends nothing else,
// whatever its connector tries.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.Keys)
	doc := r.deploy("\ndo:\n  - look: { call: http, with: { method: get, endpoint: { uri: /suppliers, authentication: { use: books } } } }\n")
	n, p := r.start(doc, `{}`), r.process()
	p.plug.action = func(ctx context.Context, call *sdk.Call) (any, error) {
		_, err := call.HTTP(ctx, &sdk.Request{Method: "POST", URL: r.book.URL() + "/bills"})
		return nil, err
	}
	require.Equal(t, flow.TypeAuthorization, p.done(n.whole("/do/0/look")).Fault.Type)
	require.Zero(t, r.book.Stats().Creations)
	p.plug.action = nil
	require.Nil(t, p.done(again(n.whole("/do/0/look"), 1)).Fault)
}

// TestDatabaseAway: what the cell's own database cannot do is no fault of the
// run or of the other system; it is asked again.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.None)
	n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
	p.plug.before = func() { require.NoError(t, r.cell.Close()) }
	_, err := p.step(n.whole(billTask))
	require.Error(t, err, "not a fault")
	require.Zero(t, r.book.Stats().Creations)
}

// TestInputIsTheBody: a primed run starts from the event's body, whatever its form.
func TestInputIsTheBody(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.Keys)
	n, p := r.start(r.deploy("\ndo:\n  - set: { set: { got: '${ . }' } }\n"), `"text"`), r.process()
	require.NoError(t, p.Prime(n.Run, n.event, nil))
	out := p.done(n.plain("/do/0/set", task.PhaseWhole, "")).Output
	require.JSONEq(t, `{"got":"text"}`, p.value(n, out))
}

// TestHandoverBeforeCommit: the run changes hands in this process between the
// answer and its commit; the new owner is told what the call came to.
func TestHandoverBeforeCommit(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.None)
	n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
	var next *run
	p.plug.after = func(out json.RawMessage, err error) (json.RawMessage, error) {
		next = n.taken() // Fenced in the database, unknown to the process yet.
		return out, err
	}
	require.True(t, p.done(n.whole(billTask)).Stopped)
	p.plug.after = nil
	require.Nil(t, p.done(next.whole(billTask)).Fault)
	require.EqualValues(t, 1, r.book.Stats().Creations)
	require.Equal(t, store.EffectDone, next.effects()[0].State)
}

// TestEndedBeforeItsIntent: a connector that ends while the intent of its call is being
// written leaves nobody in doubt, and is nothing that the flow is told of: the call
// is made again.
func TestEndedBeforeItsIntent(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
		p.plug.action = func(ctx context.Context, call *sdk.Call) (any, error) {
			ended, end := context.WithCancel(ctx)
			end()
			return connectorhttp.Connector().Actions["request"](ended, call)
		}
		_, err := p.step(n.whole(billTask))
		require.Error(r, err)
		require.Zero(r, r.book.Stats().Creations)
		p.plug.action = nil
		res, err := p.step(n.whole(billTask))
		require.NoError(r, err)
		require.Nil(r, res.Fault)
		require.EqualValues(r, 1, r.book.Stats().Creations)
	})
}
