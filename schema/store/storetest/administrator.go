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
	if b.Name == "sqlite" {
		return b.open(tb, map[string]string{"door": made.API.Door, "work": made.API.Work}[side], side)
	}
	u, err := url.Parse(made.API.Door)
	if err != nil {
		tb.Fatalf("a database has no address: %v", err)
	}
	return b.open(tb, Postgres(tb).URL(strings.TrimPrefix(u.Path, "/")), side)
}

func (b Backend) open(tb testing.TB, address, schema string) *sql.DB {
	tb.Helper()
	driver, dsn := "sqlite", "file:"+strings.TrimPrefix(address, "sqlite:")+"?_pragma=recursive_triggers(1)&_pragma=busy_timeout(10000)"
	if b.Name != "sqlite" {
		u, err := url.Parse(address)
		if err != nil {
			tb.Fatalf("a database has no address: %v", err)
		}
		q := u.Query()
		q.Set("search_path", schema)
		u.RawQuery = q.Encode()
		driver, dsn = "postgres", u.String()
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		tb.Fatalf("open the database: %v", err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}
