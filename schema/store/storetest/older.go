package storetest

import (
	"testing"

	"github.com/tenonhq/tenon/schema/store"
)

// Older takes the work side of a cell back by the last of its migrations: the
// database of an older binary.
func (b Backend) Older(tb testing.TB, made store.Provisioned) {
	tb.Helper()
	work := b.Administrator(tb, made, store.ChainWork)
	// The other index of that migration is made anew by it.
	for _, statement := range []string{"DROP INDEX runs_waiting", "DELETE FROM schema_versions WHERE version = 8"} {
		if _, err := work.ExecContext(tb.Context(), statement); err != nil {
			tb.Fatalf("take a database back by a version: %v", err)
		}
	}
}
