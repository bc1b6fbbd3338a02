package store_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

func childCell(writes store.Side) (*store.Cell, error) {
	return store.OpenCell(context.Background(), store.CellURLs{Door: os.Getenv("STORE_TEST_DOOR"), Work: os.Getenv("STORE_TEST_WORK")}, writes)
}

// sweepForEver removes the oldest events, a few at a time, and prints the id of
// each that is gone, and an empty line when none is left.
func sweepForEver() error {
	ctx := context.Background()
	c, err := childCell(store.SideAPI)
	if err != nil {
		return err
	}
	n, err := c.Door().GetNamespace(ctx, "test")
	if err != nil {
		return err
	}
	for {
		heads, err := c.Door().HeadsAfter(ctx, 0, 7)
		if err != nil {
			return err
		}
		r := store.Removal{Namespace: n, Before: at, Events: heads}
		if err := c.Door().Remove(ctx, r, draft("events.remove", n.ID)); err != nil {
			return err
		}
		for _, e := range heads {
			fmt.Println(e.ID)
		}
		if len(heads) == 0 {
			fmt.Println()
		}
	}
}

// removeForEver removes the runs of events that are gone, and prints the cursor.
func removeForEver() error {
	ctx := context.Background()
	c, err := childCell(store.SideCell)
	if err != nil {
		return err
	}
	for {
		cursor, err := c.Work().Cursor(ctx, store.CursorRemovals)
		if err != nil {
			return err
		}
		events, err := c.Door().Removals(ctx, cursor, 5)
		if err != nil {
			return err
		}
		if _, _, err := c.Work().RemoveRuns(ctx, events, noted); err != nil {
			return err
		}
		fmt.Println(cursor)
	}
}

// Invariant 7: whoever removes is killed in the middle, on both sides, again and
// again: each event is there, or known, and none of its run is left in the end.
func TestRemovalSurvivesKill(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		api, cell := storetest.Open(t, made.API, store.SideAPI), storetest.Open(t, made.Cell, store.SideCell)
		ctx, d, w := t.Context(), api.Door(), cell.Work()
		n := store.Namespace{ID: "ns_test", Name: "test", CreatedAt: at, RetentionDays: 1, RetentionFrom: &at}
		require.NoError(t, d.CreateNamespace(ctx, n, draft("namespace.create", n.ID)))
		const events = 200
		ids := make([]string, events)
		var together sync.WaitGroup
		for i := range ids {
			together.Go(func() {
				e, _, err := d.AcceptEvent(ctx, event("src_1", digest(fmt.Sprint(i))), draft("event.accept", ""))
				if err != nil {
					return // Its id is missing below.
				}
				steps := 3
				if i%40 == 0 {
					steps = 250
				}
				r := pending(e.Seq)
				r.Event = e.ID
				c := store.RunCommit{Run: r.ID, Carrier: r.Carrier, Epoch: 1, Effects: []store.Effect{effect(r.ID, "e")}, End: &store.RunEnd{State: store.RunCompleted, At: at}}
				for k := range steps {
					c.Steps = append(c.Steps, step(r.ID, fmt.Sprint(k)))
				}
				if w.StartRuns(ctx, []store.Run{r}, 0, nil) == nil && w.Commit(ctx, c) == nil {
					ids[i] = e.ID
				}
			})
		}
		together.Wait()
		require.NotContains(t, ids, "")

		for range 4 {
			sweeper, remover := spawn(t, "sweeper", made.API), spawn(t, "remover", made.Cell)
			gone := sweeper.read(t, 30)
			remover.read(t, 3)
			gone = append(gone, sweeper.kill(t)...)
			remover.kill(t)
			for _, id := range gone {
				if id != "" {
					_, err := d.GetEvent(ctx, n.ID, id)
					wantCode(t, schema.CodeNotFound, err)
				}
			}
			for i, id := range ids {
				found, err := d.FindEvent(ctx, event("src_1", digest(fmt.Sprint(i))).DedupeKey)
				require.NoError(t, err, "an event that is neither there nor known")
				require.Equal(t, id, found.ID)
			}
		}
		for left := true; left; {
			heads, err := d.HeadsAfter(ctx, 0, 100)
			require.NoError(t, err)
			require.NoError(t, d.Remove(ctx, store.Removal{Namespace: n, Before: at, Events: heads}, draft("events.remove", n.ID)))
			left = len(heads) > 0
		}
		removeAll(t, w, d)
		for _, table := range []string{"runs", "steps", "effects"} {
			require.Equal(t, "0", count(t, b, made, "work", table), table)
		}
		require.Equal(t, fmt.Sprint(events), count(t, b, made, "door", "removals"))
		for i, id := range ids {
			again, duplicate, err := d.AcceptEvent(ctx, event("src_1", digest(fmt.Sprint(i))), draft("event.accept", ""))
			require.NoError(t, err)
			require.True(t, duplicate)
			require.Equal(t, id, again.ID)
		}
		_, err := d.VerifyAudit(ctx)
		require.NoError(t, err)
		_, err = w.VerifyAudit(ctx)
		require.NoError(t, err)
	})
}
