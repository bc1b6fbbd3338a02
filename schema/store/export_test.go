package store

import (
	"context"
	"database/sql"
	"io/fs"
	"testing"
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

// ReadBadly is a unit of work that reads first, which the database fails; through bun,
// if so wanted.
func (w *Work) ReadBadly(ctx context.Context, through bool) error {
	return w.s.w.do(ctx, "read badly", func(t *txn) error {
		var n int64
		if through {
			db, ctx := t.Read()
			return db.NewRaw("SELECT seq FROM none").Scan(ctx, &n)
		}
		return t.QueryRow("SELECT seq FROM none", nil, &n)
	})
}

// WriteBlindly is a unit of work that writes through bun, whatever became of the
// transaction.
func (w *Work) WriteBlindly(ctx context.Context, key string) error {
	return w.s.w.do(ctx, "write blindly", func(t *txn) error {
		db, ctx := t.Write()
		_, _ = db.NewRaw("INSERT INTO meta (key, value) VALUES (?, ?)", key, []byte("v")).Exec(ctx)
		return nil
	})
}

// MigrationTexts are the migrations of a side, in order.
func MigrationTexts(tb testing.TB, side, dialect string) (texts []string) {
	tb.Helper()
	names, err := fs.Glob(migrations, "migrations/"+side+"/*."+dialect+".sql")
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(migrations, name)
		if err != nil {
			tb.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}
