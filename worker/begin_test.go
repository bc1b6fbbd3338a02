package worker

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestRunsThatCannotBeKept: of runs whose rows cannot be committed nothing is left in
// the process, nobody is rung for, and their events stay in the inbox.
func TestRunsThatCannotBeKept(t *testing.T) {
	b := newBench(t)
	b.event(t, document, nil)
	b.event(t, "do: [", nil)
	b.shares.lines["another flow"] = true
	other := storetest.Open(t, b.made.Cell, store.SideCell)
	require.NoError(t, b.cell.Work().Own(t.Context(), 1))
	_, err := b.cursor(t.Context(), store.CursorEvents)
	require.NoError(t, err)
	require.NoError(t, other.Work().Own(t.Context(), 2))
	_, err = b.takeEvents(t.Context())
	require.ErrorIs(t, err, store.ErrNotOwner)
	require.Empty(t, b.untold())
	require.Zero(t, b.openCount())
	require.Empty(t, b.bell, "the pause before it is tried again stays")
	b.aheads.Wait()
	require.Empty(t, b.headed)
	runs, err := b.cell.Work().ListRuns(t.Context(), store.RunFilter{Page: store.Page{Limit: 10}})
	require.NoError(t, err)
	require.Empty(t, runs)
}
