package supervisor

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestAClaimIsNobodysForNoTime: a cell that fell asleep, and is claimed again before
// its host has forgotten it, goes back to be claimed at the next look. Kept, its
// lease would be renewed for ever, and nobody would run it.
func TestAClaimIsNobodysForNoTime(t *testing.T) {
	control := storetest.SQLite(t).Control(t)
	h := New(Config{Control: control, RunDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	h.id = schema.NewID(schema.PrefixHost)
	org := schema.NewID(schema.PrefixOrganization)
	require.NoError(t, control.CreateOrganization(t.Context(), store.Organization{ID: org, Name: "acme", State: store.OrganizationActive}, store.AuditDraft{Actor: "test", Action: "test"}))
	claimed := func() []store.CellRow {
		rows, err := control.ClaimCells(t.Context(), h.id, time.Now().Add(time.Hour), time.Now(), 10)
		require.NoError(t, err)
		return rows
	}
	h.cells[org] = &cell{host: h, organization: org, cancel: func() {}}
	rows := claimed()
	require.Len(t, rows, 1)
	h.begin(t.Context(), rows[0])
	h.wg.Wait()
	require.Len(t, claimed(), 1, "it can be claimed again")
}
