package store_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestMigrateCell brings a cell that an older binary made up to date: its two
// roles go on with the addresses they have, and may do what they may in a new one.
func TestMigrateCell(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		org, made := b.Provision(t)
		empty(t, b, made)
		_, err := store.OpenCell(t.Context(), made.Cell, store.SideCell)
		require.Error(t, err)

		require.NoError(t, store.MigrateCell(t.Context(), b.Admin, org))
		require.NoError(t, store.MigrateCell(t.Context(), b.Admin, org), "it may be repeated")
		accepted(t, storetest.Open(t, made.API, store.SideAPI).Door(), "a")
		started(t, storetest.Open(t, made.Cell, store.SideCell).Work(), 1)
		if b.Name == "postgres" {
			for _, statement := range []string{"DELETE FROM door.audit", "INSERT INTO work.runs DEFAULT VALUES"} {
				_, err := dial(t, made.API.Door, "door").ExecContext(t.Context(), statement)
				require.ErrorContains(t, err, "permission denied", statement)
			}
		}

		_, err = owner(t, b, made, "door").ExecContext(t.Context(), "INSERT INTO schema_versions VALUES (9999, 'future', '')")
		require.NoError(t, err)
		wantCode(t, schema.CodeConflict, store.MigrateCell(t.Context(), b.Admin, org))
		wantCode(t, schema.CodeInvalid, store.MigrateCell(t.Context(), b.Admin, "org_.."))
		require.Error(t, store.MigrateCell(t.Context(), b.Admin, schema.NewID(schema.PrefixOrganization)), "what was never made is not made")
	})
}

// empty takes both sides back to before their first version.
func empty(t *testing.T, b storetest.Backend, made store.Provisioned) {
	t.Helper()
	for side, address := range map[string]string{"door": made.API.Door, "work": made.API.Work} {
		if b.Name == "postgres" {
			_, err := owner(t, b, made, side).ExecContext(t.Context(), "DROP SCHEMA "+side+" CASCADE")
			require.NoError(t, err)
			continue
		}
		for _, suffix := range []string{"", "-wal", "-shm"} {
			require.NoError(t, os.RemoveAll(strings.TrimPrefix(address, "sqlite:")+suffix))
		}
	}
}

// TestCellsAreProvisionedTogether makes several cells at a time on a server that
// lets everybody into its own database: each closes it, and none fails for that.
func TestCellsAreProvisionedTogether(t *testing.T) {
	b := storetest.PostgreSQL(t)
	_, err := dial(t, storetest.Postgres(t).URL("postgres"), "public").ExecContext(t.Context(), "GRANT CONNECT ON DATABASE postgres TO PUBLIC")
	require.NoError(t, err)
	made := make(chan error)
	for range 8 {
		org := schema.NewID(schema.PrefixOrganization)
		t.Cleanup(func() { _ = store.Deprovision(context.WithoutCancel(t.Context()), b.Admin, org) })
		go func() {
			_, err := store.Provision(t.Context(), b.Admin, org)
			made <- err
		}()
	}
	for range 8 {
		require.NoError(t, <-made)
	}
}
