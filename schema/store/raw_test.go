package store_test

import (
	"database/sql"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// dial opens a database without the store.
func dial(t *testing.T, address, searchPath string) *sql.DB {
	t.Helper()
	driver, dsn := "sqlite", "file:"+strings.TrimPrefix(address, "sqlite:")+"?_pragma=recursive_triggers(1)"
	if !strings.HasPrefix(address, "sqlite:") {
		u, err := url.Parse(address)
		require.NoError(t, err)
		q := u.Query()
		q.Set("search_path", searchPath)
		u.RawQuery = q.Encode()
		driver, dsn = "postgres", u.String()
	}
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// owner opens one side of a cell with all rights.
func owner(t *testing.T, b storetest.Backend, made store.Provisioned, side string) *sql.DB {
	t.Helper()
	return b.Administrator(t, made, side)
}

// unguard takes the triggers off the audit log.
func unguard(t *testing.T, b storetest.Backend, db *sql.DB) {
	t.Helper()
	statements := []string{"DROP TRIGGER audit_no_update", "DROP TRIGGER audit_no_delete"}
	if b.Name == "postgres" {
		statements = []string{"ALTER TABLE audit DISABLE TRIGGER ALL"}
	}
	for _, s := range statements {
		_, err := db.ExecContext(t.Context(), s)
		require.NoError(t, err)
	}
}
