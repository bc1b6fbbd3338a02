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
	on := ""
	if b.Name == "postgres" {
		on = " ON alerts"
	}
	for _, statement := range []string{
		"DROP TRIGGER alerts_retired_insert" + on, "DROP TRIGGER alerts_retired_update" + on,
		"ALTER TABLE alerts DROP COLUMN error_sealed", "DELETE FROM schema_versions WHERE version = 10",
	} {
		if _, err := work.ExecContext(tb.Context(), statement); err != nil {
			tb.Fatalf("take a database back by a version: %v", err)
		}
	}
}
