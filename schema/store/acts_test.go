package store_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// What entries have in common is kept once, whoever writes them, and is found where
// each of them is read.
func TestActsAreKeptOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		one, other := storetest.Open(t, made.API, store.SideAPI).Door(), storetest.Open(t, made.API, store.SideAPI).Door()
		shared := func(target string) store.AuditDraft {
			d := draft("act.shared", target)
			d.DetailShared = true
			return d
		}
		for _, target := range []string{"a", "b", "c"} {
			require.NoError(t, one.AppendAudit(t.Context(), shared(target)))
			require.NoError(t, other.AppendAudit(t.Context(), shared(target)))
			require.NoError(t, one.AppendAudit(t.Context(), draft("act.own", target)))
		}
		bare := shared("d")
		bare.DetailSealed = nil
		require.NoError(t, one.AppendAudit(t.Context(), bare))

		var acts, own int
		db := b.Administrator(t, made, store.ChainDoor)
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM acts WHERE action LIKE 'act.%'").Scan(&acts))
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM audit WHERE length(detail_sealed) > 0").Scan(&own))
		require.Equal(t, 3, acts)
		require.Equal(t, 3, own)

		counts, err := one.SealedUnder(t.Context())
		require.NoError(t, err)
		details := 0
		for _, n := range counts {
			if n.Column == "detail_sealed" {
				require.Equal(t, seal.AuditTable, n.Table, "what keeps a key of the log, whatever table it is in")
				details += n.Rows
			}
		}
		require.Equal(t, 4, details)

		found := func(f store.AuditFilter) []audit.Entry {
			t.Helper()
			entries, err := one.ListAudit(t.Context(), f)
			require.NoError(t, err)
			return entries
		}
		all := found(store.AuditFilter{Namespace: "ns_test"})
		require.Len(t, all, 10)
		require.Empty(t, found(store.AuditFilter{Namespace: "ns_other"}))
		require.Len(t, found(store.AuditFilter{Action: "act.shared"}), 7)
		require.Len(t, found(store.AuditFilter{Action: "act.own", Target: "b"}), 1)
		var ids []string
		for _, e := range all {
			require.NoError(t, schema.CheckID(schema.PrefixAudit, e.ID))
			require.Equal(t, e.At.UnixMilli(), schema.IDTime(e.ID).UnixMilli())
			require.NotContains(t, ids, e.ID)
			ids = append(ids, e.ID)
			if e.Target == "d" {
				require.Empty(t, e.Detail)
			} else {
				require.Equal(t, []byte{1, 0, 2}, e.Detail)
			}
		}
		again, err := other.ListAudit(t.Context(), store.AuditFilter{Namespace: "ns_test"})
		require.NoError(t, err)
		require.True(t, slices.EqualFunc(all, again, func(a, b audit.Entry) bool { return a.ID == b.ID }))
	})
}

// Invariant 8: an act is part of every entry that names it.
func TestAnActThatChangesIsFound(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		d := storetest.Open(t, made.API, store.SideAPI).Door()
		for _, action := range []string{"first", "second", "second"} {
			one := draft("act."+action, "target")
			one.DetailShared = true
			require.NoError(t, d.AppendAudit(t.Context(), one))
		}
		_, err := d.VerifyAudit(t.Context())
		require.NoError(t, err)
		db := b.Administrator(t, made, store.ChainDoor)
		refused := []string{"UPDATE acts SET action = 'x'", "DELETE FROM acts"}
		if b.Name == "postgres" {
			refused = append(refused, "TRUNCATE acts")
		}
		for _, statement := range refused {
			_, err := db.ExecContext(t.Context(), statement)
			require.ErrorContains(t, err, "append-only", statement)
		}
		guards := []string{"DROP TRIGGER acts_no_update", "DROP TRIGGER acts_no_delete", "DROP TRIGGER audit_no_update", "DROP TRIGGER audit_no_delete"}
		if b.Name == "postgres" {
			guards = []string{"ALTER TABLE acts DISABLE TRIGGER ALL", "ALTER TABLE audit DISABLE TRIGGER ALL"}
		}
		for _, statement := range guards {
			_, err := db.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
		do := func(statements ...string) {
			t.Helper()
			for _, statement := range statements {
				_, err := db.ExecContext(t.Context(), statement)
				require.NoError(t, err, statement)
			}
		}
		overriding := ""
		if b.Name == "postgres" {
			overriding = "OVERRIDING SYSTEM VALUE "
		}
		do("CREATE TABLE acts_before AS SELECT * FROM acts", "CREATE TABLE audit_before AS SELECT * FROM audit")
		const second = "(SELECT act FROM acts WHERE action = 'act.second')"
		for _, tamper := range []string{
			"UPDATE acts SET action = 'act.other' WHERE action = 'act.second'",
			"UPDATE acts SET namespace = 'x' WHERE action = 'act.second'",
			"UPDATE acts SET detail_sealed = '' WHERE action = 'act.second'",
			"DELETE FROM acts WHERE action = 'act.second'",
			"UPDATE audit SET act = NULL WHERE act = " + second,
			"UPDATE audit SET act = (SELECT act FROM acts WHERE action = 'act.first') WHERE act = " + second,
		} {
			do(tamper)
			_, err = d.VerifyAudit(t.Context())
			require.ErrorContains(t, err, "was changed", tamper)
			do("DELETE FROM acts", "INSERT INTO acts "+overriding+"SELECT * FROM acts_before")
			do("DELETE FROM audit", "INSERT INTO audit SELECT * FROM audit_before")
			_, err = d.VerifyAudit(t.Context())
			require.NoError(t, err)
		}
	})
}

// A log of before there were acts is read as it was left, before it is migrated and
// after that.
func TestALogWithoutActs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		org, made := b.Provision(t)
		w := storetest.Open(t, made.Cell, store.SideCell).Work()
		for _, action := range []string{"first", "second", "second"} {
			require.NoError(t, w.AppendAudit(t.Context(), draft("act."+action, "target")))
		}
		log := func() []audit.Entry {
			t.Helper()
			chains, err := store.OpenChains(t.Context(), b.Admin, org)
			require.NoError(t, err)
			defer func() { require.NoError(t, chains.Close()) }()
			walker := audit.NewWalker(store.ChainWork, audit.Head{})
			require.NoError(t, chains.Walk(t.Context(), store.ChainWork, walker))
			_, found := walker.End()
			require.Empty(t, found)
			entries, err := chains.List(t.Context(), store.ChainWork, store.AuditFilter{Oldest: true, Namespace: "ns_test"})
			require.NoError(t, err)
			return entries
		}
		before := log()
		require.Len(t, before, 3)
		b.Older(t, made)
		db := b.Administrator(t, made, store.ChainWork)
		do := func(statement string, args ...any) {
			t.Helper()
			_, err := db.ExecContext(t.Context(), statement, args...)
			require.NoError(t, err, statement)
		}
		if b.Name == "postgres" {
			do("ALTER TABLE audit DISABLE TRIGGER ALL")
		} else {
			do("DROP TRIGGER audit_no_update")
		}
		for _, e := range before {
			do("UPDATE audit SET id = $1, action = $2, namespace = $3 WHERE seq = $4", e.ID, e.Action, e.Namespace, e.Seq)
		}
		do("ALTER TABLE audit DROP COLUMN act")
		do("DROP TABLE acts")
		do("DROP TABLE dictionaries")
		do("DELETE FROM schema_versions WHERE version = 11")
		require.Equal(t, before, log())
		do("UPDATE audit SET id = '' WHERE seq = 2")
		chains, err := store.OpenChains(t.Context(), b.Admin, org)
		require.NoError(t, err)
		walker := audit.NewWalker(store.ChainWork, audit.Head{})
		require.NoError(t, chains.Walk(t.Context(), store.ChainWork, walker))
		_, found := walker.End()
		require.NotEmpty(t, found, "an id that somebody took away")
		require.NoError(t, chains.Close())
		do("UPDATE audit SET id = $1 WHERE seq = 2", before[1].ID)
		require.NoError(t, store.MigrateCell(t.Context(), b.Admin, org))
		require.Equal(t, before, log())
		require.NoError(t, storetest.Open(t, made.Cell, store.SideCell).Work().AppendAudit(t.Context(), draft("act.first", "target")))
		require.Len(t, log(), 4)
	})
}
