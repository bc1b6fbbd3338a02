package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestEveryWriteOfAFormerOwnerIsRefused tries each way to write the work side
// from a process that another took the cell from. Nothing of it is kept.
func TestEveryWriteOfAFormerOwnerIsRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		ctx := t.Context()
		before := storetest.Open(t, made.Cell, store.SideCell).Work()
		after := storetest.Open(t, made.Cell, store.SideCell).Work()
		wantCode(t, schema.CodeInvalid, before.Own(ctx, 0))
		require.NoError(t, before.Own(ctx, 4))
		require.NoError(t, before.Own(ctx, 4), "the same claim may start another process")
		r := started(t, before, 1)
		require.NoError(t, before.Commit(ctx, store.RunCommit{Run: r.ID, Carrier: "car_1", Epoch: 1, State: store.RunRunning}))

		require.NoError(t, after.Own(ctx, 5))
		head, err := after.AuditHead(ctx)
		require.NoError(t, err)
		for name, write := range map[string]func() error{
			"own": func() error { return before.Own(ctx, 4) },
			"commit": func() error {
				return before.Commit(ctx, store.RunCommit{Run: r.ID, Carrier: "car_1", Epoch: 1, Steps: []store.Step{step(r.ID, "late")}})
			},
			"start": func() error { return before.StartRuns(ctx, []store.Run{pending(2)}, 2, nil) },
			"take": func() error {
				_, err := before.TakeRuns(ctx, "car_9", []string{r.ID}, []string{store.RunRunning})
				return err
			},
			"command": func() error {
				return before.ApplyCommand(ctx, 1, r.ID, []string{store.RunRunning}, store.RunCanceled, true, nil, nil)
			},
			"skip": func() error { return before.SkipCommand(ctx, 1, []store.AuditDraft{draft("skip", r.ID)}) },
			"remove": func() error {
				_, _, err := before.RemoveRuns(ctx, []store.RemovedEvent{{Seq: 1, EventSeq: 1, Event: r.Event}}, noted)
				return err
			},
			"meta":  func() error { return before.SetMeta(ctx, "key", []byte("late")) },
			"blind": func() error { return before.WriteBlindly(ctx, "blind") },
			"audit": func() error { return before.AppendAudit(ctx, draft("late", "")) },
		} {
			err := write()
			require.ErrorIsf(t, err, store.ErrNotOwner, "%s", name)
			require.NotEqual(t, schema.CodeFenced, schema.CodeOf(err), "a carrier must not stop its runs for it")
		}
		select {
		case <-before.Lost():
		default:
			t.Fatal("the former owner is not told")
		}
		found, steps, _, err := after.LoadRun(ctx, r.ID)
		require.NoError(t, err)
		require.Equal(t, store.RunRunning, found.State)
		require.Equal(t, "car_1", found.Carrier)
		require.Empty(t, steps)
		now, err := after.AuditHead(ctx)
		require.NoError(t, err)
		require.Equal(t, head, now)
		require.NoError(t, after.AppendAudit(ctx, draft("in time", "")), "the owner goes on")
	})
}

// TestAWaitingRunSaysWhenItIsDue keeps the instant with the state, and takes it
// away with it.
func TestAWaitingRunSaysWhenItIsDue(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, cell := b.Sides(t)
		ctx, w := t.Context(), cell.Work()
		r := started(t, w, 1)
		require.Nil(t, r.DueAt)
		waits := store.RunCommit{Run: r.ID, Carrier: "car_1", Epoch: 1, State: store.RunWaiting, DueAt: at}
		require.NoError(t, w.Commit(ctx, waits))
		open, err := w.OpenRuns(ctx)
		require.NoError(t, err)
		require.Equal(t, at, *open[0].DueAt)
		require.Zero(t, open[0].WaitsFor)
		waits.DueAt, waits.WaitsFor = at.Add(1000), time.Hour
		require.NoError(t, w.Commit(ctx, waits))
		open, err = w.OpenRuns(ctx)
		require.NoError(t, err)
		require.Equal(t, at.Add(1000), *open[0].DueAt)
		require.Equal(t, time.Hour, open[0].WaitsFor)
		require.NoError(t, w.Commit(ctx, store.RunCommit{Run: r.ID, Carrier: "car_1", Epoch: 1, State: store.RunRunning}))
		open, err = w.OpenRuns(ctx)
		require.NoError(t, err)
		require.Nil(t, open[0].DueAt)
		require.Zero(t, open[0].WaitsFor)
	})
}
