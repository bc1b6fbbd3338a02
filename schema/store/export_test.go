package store

import (
	"context"
	"database/sql"
)

// ShutOthers is what provisioning does to the databases that are no cell's.
func ShutOthers(ctx context.Context, adminURL string) error {
	return asAdmin(ctx, adminURL, func(db *sql.DB) error { return shutOthers(ctx, db) })
}

// SealedColumns are the sealed columns of a side, by table and column.
func SealedColumns(chain string) map[string]bool {
	out := make(map[string]bool)
	for _, c := range sealedOf(chain) {
		out[c.table+"."+c.column] = true
	}
	return out
}
