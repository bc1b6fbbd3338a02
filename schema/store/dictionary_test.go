package store_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// Several processes add to one dictionary at the same time: nobody fails for it, and
// every event is found with what it came with.
func TestDictionariesOfSeveralProcesses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		doors := make([]*store.Door, 3)
		for i := range doors {
			doors[i] = storetest.Open(t, made.API, store.SideAPI).Door()
		}
		var mu sync.Mutex
		want := map[string]string{}
		var wg sync.WaitGroup
		for g := range 12 {
			wg.Go(func() {
				for i := range 20 {
					source := fmt.Sprint("src_", g+i)
					d := draft(fmt.Sprint("act.", (g*i)%25), source)
					d.DetailShared = true
					e, _, err := doors[g%len(doors)].AcceptEvent(t.Context(), event(source, fmt.Sprint(g, "/", i)), d)
					if !assert.NoError(t, err) { //nolint:testifylint // Not the goroutine of the test.
						return
					}
					mu.Lock()
					want[e.ID] = source
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		found, err := doors[0].EventsAfter(t.Context(), 0, 1000)
		require.NoError(t, err)
		require.Len(t, found, len(want))
		for _, e := range found {
			require.Equal(t, want[e.ID], e.Source)
		}
		db := b.Administrator(t, made, store.ChainDoor)
		require.Equal(t, []string{"31"}, storetest.Column(t, db, "SELECT COUNT(*) FROM streams"))
		_, err = doors[1].VerifyAudit(t.Context())
		require.NoError(t, err)
	})
}

// A process goes on while the database is put back to before an entry that it knows,
// and another process gives that entry's number to something else: it trusts nothing
// that it knew (invariants 6 and 8).
func TestADictionaryThatIsPutBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		d := storetest.Open(t, made.API, store.SideAPI).Door()
		for _, source := range []string{"src_1", "src_2"} {
			_, _, err := d.AcceptEvent(t.Context(), event(source, "first"), draft("act."+source, source))
			require.NoError(t, err)
		}
		db := b.Administrator(t, made, store.ChainDoor)
		do(t, db, "UPDATE streams SET source = 'src_3' WHERE source = 'src_2'")
		do(t, db, "UPDATE dictionaries SET tag = 42")
		e, _, err := d.AcceptEvent(t.Context(), event("src_2", "second"), draft("act.src_2", "src_2"))
		require.NoError(t, err)
		found, err := d.GetEvent(t.Context(), "ns_test", e.ID)
		require.NoError(t, err)
		require.Equal(t, "src_2", found.Source)

		do(t, db, "DELETE FROM streams WHERE source = 'src_2'")
		do(t, db, "UPDATE dictionaries SET tag = 43")
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				e, _, err := d.AcceptEvent(t.Context(), event("src_2", fmt.Sprint("third", i)), draft("act.src_2", "src_2"))
				if assert.NoError(t, err) {
					found, err := d.GetEvent(t.Context(), "ns_test", e.ID)
					assert.NoError(t, err)
					assert.Equal(t, "src_2", found.Source)
				}
			})
		}
		wg.Wait()
	})
}
