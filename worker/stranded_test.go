package worker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/activities"
	"github.com/tenonhq/tenon/schema"
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
	waited := false
	stranded := func(after time.Duration) bool {
		t.Helper()
		for ; after > reconcileEvery; after -= reconcileEvery {
			now = now.Add(reconcileEvery)
			require.Empty(t, b.stranded([]store.Run{run}, now, heard))
		}
		now = now.Add(after)
		early, left := b.stranded([]store.Run{run}, now, heard)[run.ID]
		waited = early
		return left
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

	// Its time was reckoned by a clock that was an hour ahead: it has waited all the same.
	far := now.Add(time.Hour + 5*time.Minute)
	run.Carrier, run.WaitsFor, run.DueAt = "reckoned ahead", 5*time.Minute, &far
	require.False(t, stranded(0))
	require.False(t, stranded(5*time.Minute+overdue-time.Second))
	require.True(t, stranded(2*time.Second))
	require.True(t, waited, "its wait is over though its time has not come")
	run.Carrier = "reckoned ahead, taken up"
	require.False(t, stranded(0))
	require.False(t, stranded(5*time.Minute))
	// Meanwhile it may come to look as if it were right.
	near := now.Add(3 * time.Minute)
	run.DueAt = &near
	require.False(t, stranded(overdue-time.Second))
	require.True(t, stranded(2*time.Second))
	require.True(t, waited)
	run.Carrier = "reckoned ahead, and due meanwhile"
	near = now.Add(time.Hour)
	require.False(t, stranded(0))
	near = now.Add(2 * time.Minute)
	require.False(t, stranded(2*time.Minute))
	require.False(t, stranded(overdue-time.Second), "its carrier has its time")
	require.True(t, stranded(2*time.Second))
	require.False(t, waited)
	run.WaitsFor, run.Carrier = 1<<63-1, "longer than anybody waits"
	near = now.Add(run.WaitsFor)
	require.False(t, stranded(0))
	require.False(t, stranded(overdue))
	run.WaitsFor = 5 * time.Minute

	// Of very many, some are taken up at a time.
	many := make([]store.Run, 2*takeUpAtOnce)
	for i := range many {
		many[i] = store.Run{ID: schema.NewID(schema.PrefixRun), State: store.RunWaiting, WaitsFor: time.Second, DueAt: &far}
	}
	far = now.Add(24 * time.Hour)
	quiet := func(string) activities.Heard { return activities.Heard{} }
	require.Empty(t, b.stranded(many, now, quiet))
	for range 2 + int(overdue/reconcileEvery) {
		now = now.Add(reconcileEvery)
		if left := b.stranded(many, now, quiet); len(left) > 0 {
			require.Len(t, left, takeUpAtOnce)
			many = many[takeUpAtOnce:]
		}
	}
	require.Empty(t, many)

	// One that was reckoned rightly is never over before its time, whatever clocks say.
	right := now.Add(5 * time.Minute)
	run.Carrier, run.DueAt = "reckoned rightly", &right
	require.False(t, stranded(0))
	require.NotContains(t, b.stills, run.ID, "cells have many that wait")
	run.WaitsFor = 0 // In a row of before, it is not known.
	far = now.Add(24 * time.Hour)
	run.Carrier, run.DueAt = "of before", &far
	require.False(t, stranded(time.Hour))
	run.DueAt = &due

	// What a carrier does that has gone on is not a wait of its run.
	run.Carrier, run.WaitsFor, run.DueAt, works = "gone on", 5*time.Minute, &far, true
	require.False(t, stranded(0))
	require.False(t, stranded(silent-time.Second))
	require.True(t, stranded(2*time.Second))
	run.WaitsFor, run.DueAt, works = 0, &due, false

	// Its row says so until its next transaction, which may be an attempt away.
	run.Carrier, works = "at work", true
	require.False(t, stranded(0))
	require.False(t, stranded(silent-time.Second), "an attempt may take that long")
	require.True(t, stranded(2*time.Second))
}
