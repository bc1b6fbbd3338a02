package store_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// chain returns n entries, oldest first.
func chain(t *testing.T, d *store.Door, n int) []audit.Entry {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			assert.NoError(t, d.AppendAudit(t.Context(), draft(fmt.Sprint("act.", i), "target")))
		})
	}
	wg.Wait()
	entries, err := d.ListAudit(t.Context(), store.AuditFilter{Limit: n})
	require.NoError(t, err)
	slices.Reverse(entries)
	return entries
}

// Invariant 8: the log takes no update and no delete, and what somebody with
// the owner's rights did to it all the same is found.
func TestTamperingInTheDatabaseIsFound(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		d := storetest.Open(t, made.API, store.SideAPI).Door()
		entries := chain(t, d, 1200)
		known := audit.Head{Seq: 1200, Hash: entries[len(entries)-1].Hash}
		require.Len(t, entries, store.MaxPage)
		_, err := d.VerifyAudit(t.Context(), known, audit.Head{Seq: entries[0].Seq, Hash: entries[0].Hash})
		require.NoError(t, err)

		db := owner(t, b, made, "door")
		refused := []string{"UPDATE audit SET actor = 'x' WHERE seq = 5", "DELETE FROM audit WHERE seq = 5"}
		if b.Name == "postgres" {
			refused = append(refused, "TRUNCATE audit")
		} else {
			refused = append(refused, "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE seq = 5")
		}
		for _, statement := range refused {
			_, err := db.ExecContext(t.Context(), statement)
			require.ErrorContains(t, err, "append-only", statement)
		}
		_, err = d.VerifyAudit(t.Context(), known)
		require.NoError(t, err)

		unguard(t, b, db)
		for _, c := range []struct{ do, undo, at string }{
			{"UPDATE audit SET actor = 'x' WHERE seq = 1001", "UPDATE audit SET actor = 'key_test' WHERE seq = 1001", "entry 1001 ("},
			{"UPDATE audit SET seq = 9999 WHERE seq = 700", "UPDATE audit SET seq = 700 WHERE seq = 9999", "entry 700:"},
			{"UPDATE audit SET seq = 0 WHERE seq = 1", "UPDATE audit SET seq = 1 WHERE seq = 0", "entry 0 ("},
			{"DELETE FROM audit WHERE seq > 1198", "", "entry 1199:"},
		} {
			_, err := db.ExecContext(t.Context(), c.do)
			require.NoError(t, err)
			_, err = d.VerifyAudit(t.Context(), known)
			require.ErrorContains(t, err, c.at, c.do)
			if c.undo != "" {
				_, err = db.ExecContext(t.Context(), c.undo)
				require.NoError(t, err)
			}
		}
		// The process that wrote what was cut does not write on as if nothing
		// had happened.
		err = d.AppendAudit(t.Context(), draft("act", "target"))
		wantCode(t, schema.CodeInternal, err)
		require.Contains(t, err.Error(), "entry 1200", err)
	})
}
