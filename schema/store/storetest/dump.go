package storetest

import (
	"bytes"
	"database/sql"
	"fmt"
	"slices"
	"testing"

	"github.com/tenonhq/tenon/schema/store"
)

// Dump is every value of every table of a cell's sides and of the control
// database, as they are stored, and the names of the tables.
func (b Backend) Dump(tb testing.TB, made store.Provisioned) (tables []string, values []byte) {
	tb.Helper()
	var out bytes.Buffer
	for side, db := range map[string]*sql.DB{
		"door": b.Administrator(tb, made, "door"), "work": b.Administrator(tb, made, "work"), "control": b.open(tb, b.ControlURL, "control"),
	} {
		list := "SELECT name FROM sqlite_master WHERE type = 'table'"
		if b.Name == "postgres" {
			list = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
		}
		for _, table := range Column(tb, db, list) {
			tables = append(tables, side+"."+table)
			dump(tb, db, table, &out)
		}
	}
	slices.Sort(tables)
	return tables, out.Bytes()
}

// Column is the first column of what a query finds.
func Column(tb testing.TB, db *sql.DB, query string, args ...any) []string {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), query, args...)
	if err != nil {
		tb.Fatalf("query: %v", err)
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			tb.Fatalf("query: %v", err)
		}
		out = append(out, name)
	}
	if err := rows.Err(); err != nil {
		tb.Fatalf("query: %v", err)
	}
	return out
}

func dump(tb testing.TB, db *sql.DB, table string, out *bytes.Buffer) {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), `SELECT * FROM "`+table+`"`) //nolint:gosec // G202: A name out of the catalog.
	if err != nil {
		tb.Fatalf("read %s: %v", table, err)
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		tb.Fatalf("read %s: %v", table, err)
	}
	for rows.Next() {
		row, at := make([]any, len(names)), make([]any, len(names))
		for i := range row {
			at[i] = &row[i]
		}
		if err := rows.Scan(at...); err != nil {
			tb.Fatalf("read %s: %v", table, err)
		}
		for _, v := range row {
			if raw, ok := v.([]byte); ok {
				out.Write(raw)
			} else {
				fmt.Fprint(out, v)
			}
			out.WriteByte('\n')
		}
	}
	if err := rows.Err(); err != nil {
		tb.Fatalf("read %s: %v", table, err)
	}
}
