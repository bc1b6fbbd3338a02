package storetest

import (
	"testing"

	"github.com/tenonhq/tenon/schema/store"
)

// Older takes the work side of a cell back by the last three of its migrations: the
// database of an older binary.
func (b Backend) Older(tb testing.TB, made store.Provisioned) {
	tb.Helper()
	work := b.Administrator(tb, made, store.ChainWork)
	for _, statement := range []string{
		`CREATE TABLE runs_older AS SELECT seq, created_at, started_at, ended_at, due_at, epoch, namespace, flow, flow_version, digest, straight,
id, event, carrier, state, error_type, order_key, result_sealed FROM runs JOIN programs USING (program)`,
		"DROP TABLE runs", "DROP TABLE programs", "ALTER TABLE runs_older RENAME TO runs", "DELETE FROM schema_versions WHERE version >= 12",
	} {
		if _, err := work.ExecContext(tb.Context(), statement); err != nil {
			tb.Fatalf("take a database back by a version: %v", err)
		}
	}
}
