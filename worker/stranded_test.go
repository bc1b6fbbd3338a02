package worker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/activities"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// TestStranded tells runs whose carriers are silent from those that wait, or are
// worked on.
func TestStranded(t *testing.T) {
	b := newBench(t)
	b.event(t, document, nil)
	_, err := b.takeEvents(t.Context())
	require.NoError(t, err)
	b.aheads.Wait() // What is worked on ahead asks in its carrier's name.
	run, now := b.onlyRun(t), time.Now()
	put, works := time.Duration(0), false
	heard := func(id string) activities.Heard {
		h := b.executor.Heard(id)
		h.Put, h.Works = put, works
		return h
	}
	stranded := func(after time.Duration) bool {
		t.Helper()
		for ; after > reconcileEvery; after -= reconcileEvery {
			now = now.Add(reconcileEvery)
			require.False(t, b.stranded([]store.Run{run}, now, heard)[run.ID])
		}
		now = now.Add(after)
		return b.stranded([]store.Run{run}, now, heard)[run.ID]
	}
	require.False(t, stranded(0))
	require.False(t, stranded(silent-time.Second), "an attempt may take that long")
	_, err = b.executor.Recall(t.Context(), task.RecallRequest{Owner: task.Owner{Run: run.ID, Carrier: run.Carrier, Epoch: run.Epoch, Digest: run.Digest}})
	require.NoError(t, err)
	require.False(t, stranded(2*time.Second), "its carrier asked for something")
	require.False(t, stranded(silent-time.Second))
	now = now.Add(time.Hour)
	require.False(t, stranded(0), "nobody looked for an hour")
	require.False(t, stranded(silent-time.Second))
	require.True(t, stranded(2*time.Second))
	require.False(t, stranded(time.Second), "it was taken up")

	// The system asks to be left alone for four minutes: the carrier sleeps as long as
	// it was told to.
	run.Carrier, put = "patient", 4*time.Minute
	require.False(t, stranded(0))
	require.False(t, stranded(silent+4*time.Minute-time.Second), "its step was put off")
	require.True(t, stranded(2*time.Second), "and it did not come back")
	put = 0
	run.Carrier = "another"
	require.False(t, stranded(silent), "its carrier is new")

	due := now.Add(2 * overdue)
	run.State, run.DueAt = store.RunWaiting, &due
	require.False(t, stranded(2*overdue), "its wait is just over")
	require.False(t, stranded(overdue-time.Second))
	require.True(t, stranded(2*time.Second), "its wait is long over")

	// The clock went past its time before that was written: it is over all the same.
	run.Carrier, run.DueAt = "without a time", nil
	require.False(t, stranded(0))
	require.False(t, stranded(overdue-time.Second))
	require.True(t, stranded(2*time.Second))
	run.DueAt = &due

	// Its row says so until its next transaction, which may be an attempt away.
	run.Carrier, works = "at work", true
	require.False(t, stranded(0))
	require.False(t, stranded(silent-time.Second), "an attempt may take that long")
	require.True(t, stranded(2*time.Second))
}
