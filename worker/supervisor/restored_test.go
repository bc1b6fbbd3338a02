package supervisor

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestRestoredFromBeforeAnUpgrade: the databases of a cell that this host has brought
// up to date are replaced by those of an older binary. The start fails, and the next
// one brings them up to date again.
func TestRestoredFromBeforeAnUpgrade(t *testing.T) {
	b := storetest.SQLite(t)
	org, made := b.Provision(t)
	h := New(Config{
		Control: b.Control(t), Admin: b.Admin, RunDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler),
		Attest:    func(context.Context, string) error { return nil },
		Namespace: func(context.Context, string) error { return schema.Errorf(schema.CodeUnavailable, "no engine") },
	})
	require.NoError(t, h.migrate(t.Context(), org))
	b.Older(t, made)
	c := &cell{host: h, organization: org, cancel: func() {}}
	_, err := c.try(t.Context())
	require.Error(t, err)
	_, err = store.OpenCell(t.Context(), made.API, store.SideAPI)
	require.True(t, store.NotMigrated(err))
	_, err = c.try(t.Context())
	require.Error(t, err)
	storetest.Open(t, made.API, store.SideAPI)
}
