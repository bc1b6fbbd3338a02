package worker

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/store"
)

// waiting are the numbers of the runs that carriers would be started for.
func (b *bench) waiting() []int64 {
	var seqs []int64
	for _, c := range b.untold() {
		for _, m := range c.members {
			seqs = append(seqs, m.EventSeq)
		}
	}
	slices.Sort(seqs)
	return seqs
}

// end ends a run as its carrier does.
func (b *bench) end(t *testing.T, seq int64, state string) {
	t.Helper()
	runs, err := b.cell.Work().ListRuns(t.Context(), store.RunFilter{})
	require.NoError(t, err)
	i := slices.IndexFunc(runs, func(r store.Run) bool { return r.EventSeq == seq })
	require.GreaterOrEqual(t, i, 0)
	require.NoError(t, b.cell.Work().Commit(t.Context(), store.RunCommit{
		Run: runs[i].ID, Carrier: runs[i].Carrier, Epoch: runs[i].Epoch, End: &store.RunEnd{State: state, At: time.Now()},
	}))
	for _, c := range b.untold() {
		if c.id == runs[i].Carrier {
			b.started(c)
		}
	}
	b.ended(runs[i].ID)
}

// TestOrder: of the events of one key one run is worked on at a time, in their
// order; another key, and an event without one, wait for nothing. A run that
// failed lets the next one go; one that is uncertain holds its key, and no other.
func TestOrder(t *testing.T) {
	b := newBench(t)
	for _, key := range []string{"a", "a", "b", "", "a", "b"} {
		b.inOrder(t, key)
	}
	_, err := b.takeEvents(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int64{1, 3, 4}, b.waiting())

	turn := func() {
		// The engine is away, so that carriers stay where they can be counted.
		b.down.Store(false)
		require.NoError(t, b.startWaiting(t.Context()))
	}
	turn()
	require.Equal(t, []int64{1, 3, 4}, b.waiting(), "nobody's turn has come")
	b.end(t, 1, store.RunFailed)
	turn()
	require.Equal(t, []int64{2, 3, 4}, b.waiting())
	b.end(t, 2, store.RunUncertain)
	b.end(t, 3, store.RunCompleted)
	turn()
	require.Equal(t, []int64{4, 6}, b.waiting(), "an uncertain run holds its key only")

	open, err := b.cell.Work().OpenRuns(t.Context())
	require.NoError(t, err)
	for _, run := range open {
		require.NotEqualValues(t, 5, run.EventSeq, "a process that takes up what is open must not take up what waits")
	}

	// A person cancels it: the next one goes on.
	runs, err := b.cell.Work().ListRuns(t.Context(), store.RunFilter{State: store.RunUncertain})
	require.NoError(t, err)
	require.NoError(t, b.cell.Work().ApplyCommand(t.Context(), 1, runs[0].ID, []string{store.RunUncertain}, store.RunCanceled, true, nil, nil))
	b.ended(runs[0].ID)
	turn()
	require.Equal(t, []int64{4, 5, 6}, b.waiting())
}
