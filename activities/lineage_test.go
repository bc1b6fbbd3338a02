package activities

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// replayed is a run of an event that replays the run's, as the relay commits it.
func (n *run) replayed(same bool) *run {
	r := n.rig
	r.Helper()
	ev := n.event
	ev.Origin = ev.ID
	if same && ev.Lineage == "" {
		ev.Lineage = ev.ID
	}
	if !same {
		ev.Lineage = ""
	}
	plain, err := r.data.Open(place.Event(r.org, n.event.ID), n.event.PayloadSealed)
	require.NoError(r, err)
	ev.ID, ev.ReceivedAt = schema.NewID(schema.PrefixEvent), time.Now()
	ev.DedupeKey, ev.PayloadSealed = ev.ID, r.data.Seal(place.Event(r.org, ev.ID), plain)
	ev, err = r.api.Door().ReplayEvent(r.Context(), ev, "test", draft())
	require.NoError(r, err)
	next := store.Run{
		ID: schema.NewID(schema.PrefixRun), Namespace: n.Namespace, Event: ev.ID, EventSeq: ev.Seq, Flow: n.Flow,
		FlowVersion: n.FlowVersion, Digest: n.Digest, Carrier: schema.NewID(schema.PrefixCarrier), Epoch: 1,
		State: store.RunPending, CreatedAt: time.Now(),
	}
	require.NoError(r, r.cell.Work().StartRuns(r.Context(), []store.Run{next}, ev.Seq, nil))
	return &run{Run: next, rig: r, event: ev, doc: n.doc}
}

// A replay with the same effects does not send what the ledger has as done; one
// with new effects sends it, under another key; a replay of that one is of its
// own lineage. (Invariant 7.)
func TestReplays(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
		require.Nil(r, p.done(n.whole(billTask)).Fault)
		require.Equal(r, 1, r.book.Stats().Bills)

		same := n.replayed(true)
		require.NoError(r, p.Prime(same.Run, same.event, nil))
		require.Nil(r, p.done(same.whole(billTask)).Fault)
		again := same.replayed(true)
		require.Nil(r, p.done(again.taken().whole(billTask)).Fault)
		require.Equal(r, 1, r.book.Stats().Bills)
		require.EqualValues(r, 1, r.book.Stats().Creations)

		other := n.replayed(false)
		require.NoError(r, p.Prime(other.Run, other.event, nil))
		require.Nil(r, p.done(other.whole(billTask)).Fault)
		require.EqualValues(r, 2, r.book.Stats().Creations)
		require.NotEqual(r, n.effects()[0].Sent(r.org), other.effects()[0].Sent(r.org))
		once := other.replayed(true)
		require.NoError(r, p.Prime(once.Run, once.event, nil))
		require.Nil(r, p.done(once.whole(billTask)).Fault)
		require.EqualValues(r, 2, r.book.Stats().Creations)
	})
}

// What an earlier run began, and of which nobody knows whether it happened, is
// asked about in its replay, too; what is known not to have happened is done, by
// the same key.
func TestReplaysOfWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		for state, want := range map[string]int64{store.EffectIntent: 0, store.EffectUncertain: 0, store.EffectFailed: 1} {
			doc, p := r.deploy(billFlow), r.process()
			model, n := r.start(doc, `{"order":"O-1"}`), r.start(doc, `{"order":"O-1"}`)
			require.Nil(r, p.done(model.whole(billTask)).Fault)
			before := r.book.Stats().Creations
			// The first run asked for the same, and that is all that is known of it.
			first := model.effects()[0]
			first.ID, first.Run, first.State, first.OutcomeSealed = schema.NewID(schema.PrefixEffect), n.ID, state, nil
			first.IdempotencyKey = schema.IdempotencyKey(r.org, n.ID, first.Key)
			require.NoError(r, r.cell.Work().Commit(r.Context(), store.RunCommit{
				Run: n.ID, Carrier: n.Carrier, Epoch: n.Epoch, Effects: []store.Effect{first},
				End: &store.RunEnd{State: store.RunCanceled, At: time.Now()},
			}))
			same := n.replayed(true)
			require.NoError(r, p.Prime(same.Run, same.event, nil))
			out := p.done(same.whole(billTask))
			require.Equal(r, before+want, r.book.Stats().Creations, state)
			require.Equal(r, want == 0, out.Stopped, state)
			mine := same.effects()
			require.Len(r, mine, 1)
			require.Equal(r, first.IdempotencyKey, mine[0].IdempotencyKey)
			if want == 0 {
				require.Equal(r, store.RunUncertain, same.row().State)
			}
		}
	})
}

// TestLedgerLeavesOutWhatFollows: an effect's row has no key that follows from its run,
// and no owner once it is done; a replay's, whose key is another run's, has it.
func TestLedgerLeavesOutWhatFollows(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		doc, p := r.deploy(billFlow), r.process()
		n := r.start(doc, `{"order":"O-1"}`)
		require.Nil(r, p.done(n.whole(billTask)).Fault)
		row := func(n *run) store.Effect {
			effects := n.effects()
			require.Len(r, effects, 1)
			return effects[0]
		}
		require.Empty(r, row(n).IdempotencyKey)
		require.Empty(r, row(n).Owner)
		// As it was left by a process that died in its call, and by one that failed.
		for _, state := range []string{store.EffectIntent, store.EffectFailed} {
			model := r.start(doc, `{"order":"O-1"}`)
			left := row(n)
			left.ID, left.Run, left.Owner, left.State, left.OutcomeSealed = schema.NewID(schema.PrefixEffect), model.ID, "host_gone", state, nil
			require.NoError(r, r.cell.Work().Commit(r.Context(), store.RunCommit{
				Run: model.ID, Carrier: model.Carrier, Epoch: model.Epoch, Effects: []store.Effect{left},
				End: &store.RunEnd{State: store.RunCanceled, At: time.Now()},
			}))
			key := schema.IdempotencyKey(r.org, model.ID, billTask)
			same := model.replayed(true)
			require.NoError(r, p.Prime(same.Run, same.event, nil))
			require.Nil(r, p.done(same.whole(billTask)).Fault)
			require.Equal(r, key, row(same).IdempotencyKey)
		}
	})
}
