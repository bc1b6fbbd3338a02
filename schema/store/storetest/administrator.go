package storetest

import (
	"database/sql"
	"net/url"
	"strings"
	"testing"

	"github.com/tenonhq/tenon/schema/store"
)

// Administrator opens one side of a cell, "door" or "work", with all rights and
// without the store: what somebody with SQL does. It is closed when the test ends.
func (b Backend) Administrator(tb testing.TB, made store.Provisioned, side string) *sql.DB {
	tb.Helper()
	address, driver := map[string]string{"door": made.API.Door, "work": made.API.Work}[side], "postgres"
	u, err := url.Parse(made.API.Door)
	if err != nil {
		tb.Fatalf("a database has no address: %v", err)
	}
	dsn := "file:" + strings.TrimPrefix(address, "sqlite:") + "?_pragma=recursive_triggers(1)&_pragma=busy_timeout(10000)"
	if b.Name == "sqlite" {
		driver = "sqlite"
	} else {
		if u, err = url.Parse(Postgres(tb).URL(strings.TrimPrefix(u.Path, "/"))); err != nil {
			tb.Fatalf("a database has no address: %v", err)
		}
		q := u.Query()
		q.Set("search_path", side)
		u.RawQuery = q.Encode()
		dsn = u.String()
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		tb.Fatalf("open the database: %v", err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}
