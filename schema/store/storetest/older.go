package storetest

import (
	"testing"

	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
)

// Older takes the work side of a cell back by the last of its migrations: the
// database of an older binary, whose entries of the log hold everything themselves.
func (b Backend) Older(tb testing.TB, org string, made store.Provisioned) {
	tb.Helper()
	entries := b.log(tb, org)
	work := b.Administrator(tb, made, store.ChainWork)
	do := func(statement string, args ...any) {
		tb.Helper()
		if _, err := work.ExecContext(tb.Context(), statement, args...); err != nil {
			tb.Fatalf("take a database back by a version: %v", err)
		}
	}
	update := "UPDATE audit SET id = $1, action = $2, namespace = $3 WHERE seq = $4"
	const refuse = "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
	if b.Name == "postgres" {
		do("ALTER TABLE audit DISABLE TRIGGER ALL")
	} else {
		do("DROP TRIGGER audit_no_update")
	}
	for _, e := range entries {
		do(update, e.ID, e.Action, e.Namespace, e.Seq)
	}
	if b.Name == "postgres" {
		do("ALTER TABLE audit ENABLE TRIGGER ALL")
	} else {
		do(refuse)
	}
	do("ALTER TABLE audit DROP COLUMN act")
	do("DROP TABLE acts")
	do("DELETE FROM schema_versions WHERE version = 11")
}

// log is the work side's log.
func (b Backend) log(tb testing.TB, org string) (entries []audit.Entry) {
	tb.Helper()
	chains, err := store.OpenChains(tb.Context(), b.Admin, org)
	if err != nil {
		tb.Fatalf("open the log: %v", err)
	}
	defer func() { _ = chains.Close() }()
	for {
		filter := store.AuditFilter{Oldest: true, Limit: store.MaxPage}
		if n := len(entries); n > 0 {
			filter.After = entries[n-1].Seq
		}
		page, err := chains.List(tb.Context(), store.ChainWork, filter)
		if err != nil {
			tb.Fatalf("read the log: %v", err)
		}
		if entries = append(entries, page...); len(page) < store.MaxPage {
			return entries
		}
	}
}
