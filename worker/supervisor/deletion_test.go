package supervisor

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestWhatComesBackOfADeletedOrganization: keys that are in the key store again,
// as after restoring an older copy of it, are destroyed, and the directory of
// the cell's sockets goes; those of an organization in use stay.
func TestWhatComesBackOfADeletedOrganization(t *testing.T) {
	b := storetest.SQLite(t)
	control := b.Control(t)
	keys, err := keystore.Open(filepath.Join(t.TempDir(), "keys"))
	require.NoError(t, err)
	root, err := seal.NewPrivateKey()
	require.NoError(t, err)
	api, err := seal.NewPrivateKey()
	require.NoError(t, err)
	h := New(Config{Control: control, Keys: keys, RunDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	act := store.AuditDraft{Actor: "test", Action: "test"}
	used, deleted := schema.NewID(schema.PrefixOrganization), schema.NewID(schema.PrefixOrganization)
	for _, organization := range []string{used, deleted} {
		require.NoError(t, control.CreateOrganization(t.Context(), store.Organization{ID: organization, Name: organization, State: store.OrganizationActive}, act))
		entry, err := keystore.Generate(organization, root.Public(), api.Public())
		require.NoError(t, err)
		require.NoError(t, keys.Put(t.Context(), entry))
		require.NoError(t, os.MkdirAll(filepath.Join(h.cfg.RunDir, organization), 0o700))
	}
	require.NoError(t, control.BeginDeletion(t.Context(), deleted, act))
	require.NoError(t, h.tidyOnce(t.Context(), time.Time{}))
	left, err := keys.List(t.Context())
	require.NoError(t, err)
	require.Len(t, left, 2, "one that is being deleted is the workflow's")

	require.NoError(t, control.EndDeletion(t.Context(), deleted, act))
	require.NoError(t, h.tidyOnce(t.Context(), time.Time{}))
	left, err = keys.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{used}, left)
	entries, err := os.ReadDir(h.cfg.RunDir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, used, entries[0].Name())
}
