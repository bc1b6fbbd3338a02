package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestWaitingRuns: a run without a carrier is in its flow's line, unless an earlier
// one of its key has not ended, and leaves it with a carrier.
func TestWaitingRuns(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, cell := b.Sides(t)
		ctx, w := t.Context(), cell.Work()
		var runs []store.Run
		for i, key := range []string{"", "k", "k", "", "j"} {
			run := pending(int64(i + 1))
			run.Carrier, run.OrderKey = "", key
			runs = append(runs, run)
		}
		runs[3].FlowVersion, runs[4].Flow = 4, "flow_2"
		require.NoError(t, w.StartRuns(ctx, runs, 5, nil))
		line := func(flow string, most int) (seqs []int64, more bool) {
			got, more, err := w.WaitingRuns(ctx, flow, most)
			require.NoError(t, err)
			for _, run := range got {
				seqs = append(seqs, run.EventSeq)
			}
			return seqs, more
		}
		flows, err := w.WaitingFlows(ctx)
		require.NoError(t, err)
		require.ElementsMatch(t, []string{runs[0].Flow, "flow_2"}, flows)
		seqs, more := line(runs[0].Flow, 2)
		require.Equal(t, []int64{1, 2}, seqs)
		require.True(t, more)
		seqs, more = line(runs[0].Flow, 9)
		require.Equal(t, []int64{1, 2, 4}, seqs)
		require.True(t, more, "the third waits for its key")
		seqs, more = line("flow_2", 9)
		require.Equal(t, []int64{5}, seqs)
		require.False(t, more)
		open, err := w.OpenRuns(ctx)
		require.NoError(t, err)
		require.Empty(t, open, "nobody works on one")

		taken, err := w.TakeRuns(ctx, "car_9", []string{runs[1].ID}, []string{store.RunPending})
		require.NoError(t, err)
		carried, err := w.Carried(ctx, runs[0].Flow)
		require.NoError(t, err)
		require.Equal(t, 1, carried)
		busy, err := w.BusyKeys(ctx, []string{"k", "k", "j", "none"})
		require.NoError(t, err)
		require.Equal(t, map[string]bool{"k": true, "j": true}, busy)
		seqs, _ = line(runs[0].Flow, 9)
		require.Equal(t, []int64{1, 4}, seqs)

		end := func(state string) {
			require.NoError(t, w.Commit(ctx, store.RunCommit{
				Run: runs[1].ID, Carrier: "car_9", Epoch: taken[0].Epoch, End: &store.RunEnd{State: state, At: at},
			}))
		}
		end(store.RunUncertain)
		seqs, _ = line(runs[0].Flow, 9)
		require.Equal(t, []int64{1, 4}, seqs, "an uncertain run holds its key")
		require.NoError(t, w.ApplyCommand(ctx, 1, runs[1].ID, []string{store.RunUncertain}, store.RunCanceled, true, nil, nil))
		seqs, _ = line(runs[0].Flow, 9)
		require.Equal(t, []int64{1, 3, 4}, seqs)
	})
}

// TestOneMakesTheNextAttempt: of two processes that both know that an effect did
// not happen, one makes the next attempt; what the one before came to, told late,
// changes nothing (invariant 7).
func TestOneMakesTheNextAttempt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, cell := b.Sides(t)
		ctx, w := t.Context(), cell.Work()
		r := started(t, w, 1)
		put := func(owner, state string, attempts int) error {
			ef := effect(r.ID, "e")
			ef.ID, ef.Owner, ef.State, ef.Attempts = "eff_1", owner, state, attempts
			return w.Commit(ctx, store.RunCommit{Run: r.ID, Carrier: "car_1", Epoch: 1, Effects: []store.Effect{ef}})
		}
		require.NoError(t, put("host_1", store.EffectIntent, 1))
		require.NoError(t, put("host_1", store.EffectFailed, 1))
		require.NoError(t, put("host_2", store.EffectIntent, 2))
		require.NoError(t, put("host_2", store.EffectIntent, 2), "a commit may be repeated")
		wantCode(t, schema.CodeConflict, put("host_1", store.EffectIntent, 2))
		wantCode(t, schema.CodeConflict, put("host_1", store.EffectFailed, 1))
		effects, err := w.ListEffects(ctx, r.ID)
		require.NoError(t, err)
		require.Equal(t, "host_2", effects[0].Owner)
		require.Equal(t, store.EffectIntent, effects[0].State)
	})
}
