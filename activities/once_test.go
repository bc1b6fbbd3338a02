package activities

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/schema/task"
)

// TestAnAnswerIsKeptOnce: what a call answered stands in the ledger. The journal and
// the run's result name it, and a process that takes the run over finds it by that.
func TestAnAnswerIsKeptOnce(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		doc := r.deploy(`
do:
  - bill:
      call: http
      with:
        method: post
        endpoint: { uri: /bills, authentication: { use: books } }
        body: { order: '${ .order }', supplier: sup-100, currency: EUR, lines: [{ sku: A1, description: Oak, quantity: 2, unit_price_cents: 1050 }] }
      export: { as: '${ {number: .number} }' }
  - see: { set: { number: '${ .number }', said: '${ $context.number }', whole: '${ . }' } }
`)
		n, p := r.start(doc, `{"order":"O-1"}`), r.process()
		answer := p.done(n.whole("/do/0/bill"))
		require.Nil(r, answer.Fault)
		rec := n.records()["/do/0/bill"]
		require.Equal(r, map[task.Ref]string{answer.Output: n.effects()[0].Key}, rec.From)
		require.Contains(r, rec.Values, answer.Context, "of one's own, and kept")

		p = r.process()
		n = n.taken()
		again := n.whole("/do/0/bill")
		require.Equal(r, answer, p.done(again), "from the journal")
		see := n.whole("/do/1/see")
		see.Input, see.Context = answer.Output, answer.Context
		out := p.done(see)
		require.Nil(r, out.Fault)
		require.NoError(r, p.Finish(r.Context(), task.FinishRequest{Owner: n.owner(), Key: ":finish", Output: answer.Output, Context: answer.Context}))
		require.EqualValues(r, 1, r.book.Stats().Creations)

		require.Equal(r, store.RunCompleted, n.row().State)
		require.Equal(r, string(answer.Output), n.result().From)
		var whole, seen struct {
			Number, Said string
			Whole        json.RawMessage
		}
		require.NoError(r, json.Unmarshal(n.result().Output, &whole))
		require.NoError(r, json.Unmarshal(n.records()["/do/1/see"].Values[out.Output], &seen))
		require.NotEmpty(r, whole.Number)
		require.Equal(r, []string{whole.Number, whole.Number}, []string{seen.Number, seen.Said})
		require.JSONEq(r, string(n.result().Output), string(seen.Whole))
	})
}

// TestATaskNamedLikeAnotherEffect: a name may end with what marks the key of an effect
// in another's place. Its call is found where it was left all the same.
func TestATaskNamedLikeAnotherEffect(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.None)
	n, p := r.start(r.deploy(strings.Replace(strings.Replace(billFlow, "bill:", `"bill''":`, 1), "{number: .number}", ".", 1)), `{"order":"O-1"}`), r.process()
	const task = billTask + "''"
	var next *run
	p.plug.after = func(out json.RawMessage, err error) (json.RawMessage, error) {
		next = n.taken()
		return out, err
	}
	require.True(t, p.done(n.whole(task)).Stopped)
	p.plug.after = nil
	require.Nil(t, p.done(next.whole(task)).Fault)
	require.EqualValues(t, 1, r.book.Stats().Creations)
	require.Equal(t, store.EffectDone, next.effects()[0].State)
	require.Empty(t, p.lanes.left)
}

// TestWhatIsSmallOrOnesOwnIsKept: a value is named only where that takes less than
// the value, and only if it is the ledger's to the byte.
func TestWhatIsSmallOrOnesOwnIsKept(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
		out := p.done(n.whole(billTask))
		require.Nil(r, out.Fault)
		require.NoError(r, p.Finish(r.Context(), task.FinishRequest{Owner: n.owner(), Key: ":finish", Output: out.Output}))
		require.Empty(r, n.records()[billTask].From)
		require.Empty(r, n.result().From)
		require.NotEmpty(r, n.result().Output)
		var o outcome
		n.open(place.Effect(r.org, n.effects()[0].ID), n.effects()[0].OutcomeSealed, &o)
		require.NotEmpty(r, o.Output)
	})
}
