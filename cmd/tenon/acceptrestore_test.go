package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/worker/notary"
)

// A whole server was restored, and some of its organizations cannot be accepted: the
// others are, whatever their order, and each that is not is named.
func TestAcceptAll(t *testing.T) {
	b := storetest.SQLite(t)
	control, signer := b.Control(t), audit.NewSigner()
	e := notary.Evidence{Control: control, Admin: b.Admin, Keys: audit.NewKeys(signer.Public()), Directory: filepath.Join(t.TempDir(), "checkpoints")}
	n, err := notary.New(notary.Config{
		Control: control, Admin: b.Admin, Signer: signer, Keys: e.Keys, Directory: e.Directory, Logger: slog.New(slog.DiscardHandler),
		Seal: func(context.Context, string, []byte) ([]byte, error) { return []byte{1}, nil },
	})
	require.NoError(t, err)
	var orgs []string
	for range 3 {
		org, made := b.Provision(t)
		orgs = append(orgs, org)
		require.NoError(t, control.CreateOrganization(t.Context(), store.Organization{ID: org, Name: org, State: store.OrganizationActive},
			store.AuditDraft{Actor: "test", Action: "organization.create"}))
		write := func() {
			c, err := store.OpenCell(t.Context(), made.API, store.SideAPI)
			require.NoError(t, err)
			require.NoError(t, c.Door().AppendAudit(t.Context(), store.AuditDraft{Actor: "test", Action: "act", Target: org}))
			require.NoError(t, c.Close())
			require.NoError(t, n.Attest(t.Context(), org))
		}
		write()
		back := b.Copy(t, org)
		write()
		back()
		require.Equal(t, schema.CodePutBack, schema.CodeOf(n.Attest(t.Context(), org)))
	}
	for _, org := range []string{orgs[0], orgs[2]} {
		require.NoError(t, os.RemoveAll(filepath.Join(b.Admin.Directory, org)))
	}

	var out bytes.Buffer
	err = acceptAll(t.Context(), e, signer, &out)
	require.ErrorContains(t, err, orgs[0])
	require.ErrorContains(t, err, orgs[2])
	require.NotContains(t, err.Error(), orgs[1])
	require.Contains(t, out.String(), orgs[1])
	for i, state := range []string{store.OrganizationPutBack, store.OrganizationActive, store.OrganizationPutBack} {
		o, err := control.GetOrganization(t.Context(), orgs[i])
		require.NoError(t, err)
		require.Equal(t, state, o.State)
	}
}
