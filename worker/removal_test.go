package worker

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

// TestRunsOfRemovedEventsGo removes events behind the cell's back: it does not
// sleep before their runs are gone too, each namespace's by itself, and keeps one
// that has not ended, whatever the API says.
func TestRunsOfRemovedEventsGo(t *testing.T) {
	b := newBench(t)
	draft := store.AuditDraft{Actor: "test", Action: "test"}
	from := time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond)
	second := store.Namespace{ID: schema.NewID(schema.PrefixNamespace), Name: "staging", CreatedAt: time.Now()}
	require.NoError(t, b.api.Door().CreateNamespace(t.Context(), second, draft))
	first := b.namespace
	for _, namespace := range []string{first, first, second.ID} {
		b.namespace = namespace
		b.event(t, document, nil)
	}
	_, err := b.takeEvents(t.Context())
	require.NoError(t, err)
	runs, err := b.cell.Work().ListRuns(t.Context(), store.RunFilter{})
	require.NoError(t, err)
	require.Len(t, runs, 3)
	open := runs[1]
	for _, run := range []store.Run{runs[0], runs[2]} {
		require.NoError(t, b.cell.Work().Commit(t.Context(), store.RunCommit{
			Run: run.ID, Carrier: run.Carrier, Epoch: run.Epoch, End: &store.RunEnd{State: store.RunCompleted, At: time.Now()},
		}))
	}
	for _, id := range []string{first, second.ID} {
		n, err := b.api.Door().GetNamespace(t.Context(), id)
		require.NoError(t, err)
		require.NoError(t, b.api.Door().SetRetention(t.Context(), n, 1, &from, draft))
		n.RetentionDays, n.RetentionFrom = 1, &from
		heads, err := b.api.Door().HeadsAfter(t.Context(), 0, 10)
		require.NoError(t, err)
		var own []store.EventHead
		for _, e := range heads {
			if e.Namespace == id {
				own = append(own, e)
			}
		}
		require.NoError(t, b.api.Door().Remove(t.Context(), store.Removal{Namespace: n, Before: time.Now(), Events: own}, draft))
	}
	pending, err := b.pending(t.Context())
	require.NoError(t, err)
	require.True(t, pending, "there is something to do")

	ctx, cancel := context.WithCancel(t.Context())
	var removing sync.WaitGroup
	removing.Go(func() { b.removeRuns(ctx) })
	require.Eventually(t, func() bool {
		pending, err := b.pending(t.Context())
		return err == nil && !pending
	}, 20*time.Second, 10*time.Millisecond)
	cancel()
	removing.Wait()
	left, err := b.cell.Work().ListRuns(t.Context(), store.RunFilter{})
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Equal(t, open.ID, left[0].ID)
	require.Contains(t, b.log.String(), "the event of a run was removed that has not ended")
	log, err := b.cell.Work().ListAudit(t.Context(), store.AuditFilter{Action: "runs.remove"})
	require.NoError(t, err)
	require.Len(t, log, 2)
	require.ElementsMatch(t, []string{first, second.ID}, []string{log[0].Namespace, log[1].Namespace})
}
