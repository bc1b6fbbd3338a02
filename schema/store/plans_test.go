package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestNoTableIsReadWhole: what a session planned while a table was empty does not read
// all of it once it is not, which PostgreSQL's statistics show.
func TestNoTableIsReadWhole(t *testing.T) {
	b := storetest.PostgreSQL(t)
	_, made := b.Provision(t)
	api, err := store.OpenCell(t.Context(), made.API, store.SideAPI)
	require.NoError(t, err)
	cell, err := store.OpenCell(t.Context(), made.Cell, store.SideCell)
	require.NoError(t, err)
	ctx, w := t.Context(), cell.Work()
	const runs = 200
	for range runs {
		e := accepted(t, api.Door(), time.Now().String())
		r := started(t, w, e.Seq)
		require.NoError(t, w.Commit(ctx, store.RunCommit{
			Run: r.ID, Carrier: "car_1", Epoch: 1, State: store.RunRunning, Steps: []store.Step{step(r.ID, "a")},
			Effects: []store.Effect{effect(r.ID, "/do/1")}, Audit: []store.AuditDraft{draft("effect.intent", r.ID)},
		}))
		_, err := api.Door().GetEvent(ctx, "ns_test", e.ID)
		require.NoError(t, err)
	}
	// Sessions tell their statistics when they end, at the latest.
	require.NoError(t, api.Close())
	require.NoError(t, cell.Close())
	for side, tables := range map[string][]string{"door": {"events", "audit"}, "work": {"runs", "steps", "effects", "audit"}} {
		db := owner(t, b, made, side)
		for _, table := range tables {
			var inserted, read int64
			require.Eventually(t, func() bool {
				err := db.QueryRowContext(ctx, "SELECT n_tup_ins, seq_tup_read FROM pg_stat_user_tables WHERE schemaname = $1 AND relname = $2", side, table).Scan(&inserted, &read)
				return err == nil && inserted >= runs
			}, time.Minute, 50*time.Millisecond)
			require.Less(t, read, int64(runs), "%s.%s", side, table)
		}
	}
}
