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
	for _, statement := range []string{"DROP TABLE alerts", "DELETE FROM schema_versions WHERE version = 9"} {
		if _, err := work.ExecContext(tb.Context(), statement); err != nil {
			tb.Fatalf("take a database back by a version: %v", err)
		}
	}
}
