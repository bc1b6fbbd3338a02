package worker

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// TestWhatKeepsACellAwake looks whether there is nothing to do, with each of the
// things that there may be.
func TestWhatKeepsACellAwake(t *testing.T) {
	b := newBench(t)
	idle := func() bool {
		t.Helper()
		nothing, wakeAt, err := b.nothing(t.Context())
		require.NoError(t, err)
		require.Nil(t, wakeAt)
		return nothing
	}
	require.True(t, idle())
	b.event(t, document, nil)
	require.False(t, idle(), "an event is unread")
	_, err := b.takeEvents(t.Context())
	require.NoError(t, err)
	require.False(t, idle(), "a run is to be worked on")
	require.True(t, b.busy())

	run := b.onlyRun(t)
	become := func(c store.RunCommit) {
		t.Helper()
		c.Run, c.Carrier, c.Epoch = run.ID, run.Carrier, run.Epoch
		require.NoError(t, b.cell.Work().Commit(t.Context(), c))
	}
	become(store.RunCommit{State: store.RunWaiting})
	require.False(t, idle(), "nobody knows until when a run waits")
	become(store.RunCommit{State: store.RunWaiting, DueAt: time.Now().Add(shortestSleep / 2)})
	require.False(t, idle(), "a run is due soon")
	become(store.RunCommit{State: store.RunWaiting, DueAt: time.Now().Add(-time.Hour)})
	require.False(t, idle(), "a run was due long ago")
	become(store.RunCommit{State: store.RunWaiting, DueAt: time.Now().Add(3 * time.Hour), WaitsFor: time.Hour})
	require.False(t, idle(), "a run waits for a time that a clock has reckoned which was ahead")
	become(store.RunCommit{State: store.RunWaiting, DueAt: time.Now().Add(time.Hour), WaitsFor: time.Hour})
	_, _, err = b.nothing(t.Context())
	require.Equal(t, schema.CodeUnavailable, schema.CodeOf(err), "the engine may have an activity for it")
	become(store.RunCommit{End: &store.RunEnd{State: store.RunCompleted, At: time.Now()}})
	require.True(t, idle())

	_, err = b.api.Door().AddCommand(t.Context(), store.Command{
		ID: schema.NewID(schema.PrefixCommand), Namespace: b.namespace, Run: run.ID, Kind: config.CommandCancel, By: "test", CreatedAt: time.Now(),
	}, store.AuditDraft{Actor: "test", Action: "test", Target: run.ID})
	require.NoError(t, err)
	require.False(t, idle(), "a command is unread")
}

// TestACellThatSealsAnewStaysAwake hands a cell new keys: it does not sleep
// before what is to be done about them is done.
func TestACellThatSealsAnewStaysAwake(t *testing.T) {
	b := newBench(t)
	former, err := seal.NewDataKey()
	require.NoError(t, err)
	r := newRotation(b.executor, Keys{Retiring: []seal.KeyID{former.ID()}}, slog.New(slog.DiscardHandler))
	r.settle = 0
	b.sealing = r.pending.Load
	require.True(t, b.busy())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.run(ctx)
	}()
	require.Eventually(t, func() bool { return !b.busy() }, 20*time.Second, 10*time.Millisecond)
	cancel()
	<-ended
}
