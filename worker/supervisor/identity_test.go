package supervisor

import (
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/schema/token"
	"github.com/tenonhq/tenon/worker"
)

// TestAHostKeepsItsIdentity gives each start on a directory the same id, to one
// process at a time.
func TestAHostKeepsItsIdentity(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cells")
	id, lock, err := identify(t.Context(), dir)
	require.NoError(t, err)
	require.NoError(t, schema.CheckID(schema.PrefixHost, id))

	_, _, err = identify(t.Context(), dir)
	require.Equal(t, schema.CodeConflict, schema.CodeOf(err))

	require.NoError(t, lock.Close())
	again, lock, err := identify(t.Context(), dir)
	require.NoError(t, err)
	require.Equal(t, id, again)
	require.NoError(t, lock.Close())

	other, lock, err := identify(t.Context(), filepath.Join(t.TempDir(), "cells"))
	require.NoError(t, err)
	require.NotEqual(t, id, other)
	require.NoError(t, lock.Close())
}

// TestAHostRetakesItsOwnCellsOnly finds the cells of the process before it
// under its own id, on both databases; another host's stay that one's.
func TestAHostRetakesItsOwnCellsOnly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		t.Helper()
		require.NoError(t, store.MigrateControl(t.Context(), b.ControlURL))
		control := b.Control(t)
		now := time.Now().UTC()
		mine, theirs := schema.NewID(schema.PrefixHost), schema.NewID(schema.PrefixHost)
		for _, host := range []string{mine, theirs} {
			org := schema.NewID(schema.PrefixOrganization)
			require.NoError(t, control.CreateOrganization(t.Context(), store.Organization{
				ID: org, Name: org, State: store.OrganizationProvisioning, CreatedAt: now, UpdatedAt: now,
			}, store.AuditDraft{Actor: "test", Action: "organization.created", Target: org}))
			rows, err := control.ClaimCells(t.Context(), host, now.Add(time.Hour), now, 10)
			require.NoError(t, err)
			require.Len(t, rows, 1)
		}
		h := New(Config{Control: control, Logger: slog.New(slog.DiscardHandler)})
		h.id = mine
		require.NoError(t, h.retake(t.Context()))
		rows, err := control.ClaimCells(t.Context(), mine, now.Add(time.Hour), now, 10)
		require.NoError(t, err)
		require.Len(t, rows, 1)
		require.EqualValues(t, 2, rows[0].Epoch, "the process before is fenced")
	})
}

// TestTokensAreReplacedInTime gives a cell a new engine token well before the
// one that it has expires.
func TestTokensAreReplacedInTime(t *testing.T) {
	dir := t.TempDir()
	signer, err := token.EnsureSigner(filepath.Join(dir, "signer"))
	require.NoError(t, err)
	require.NoError(t, token.WriteVerifier(filepath.Join(dir, "verifier"), signer.Verifier()))
	verifier, err := token.LoadVerifier(filepath.Join(dir, "verifier"))
	require.NoError(t, err)

	h := New(Config{Signer: signer, Logger: slog.New(slog.DiscardHandler)})
	h.tokenLife = 4 * time.Second
	ours, theirs := net.Pipe()
	defer func() { _, _ = ours.Close(), theirs.Close() }()
	org := schema.NewID(schema.PrefixOrganization)
	c := &cell{host: h, organization: org, line: worker.NewLine(ours)}
	go c.refreshTokens(t.Context())

	line := worker.NewLine(theirs)
	last := time.Now().Add(h.tokenLife)
	for range 2 {
		var n worker.Notice
		require.NoError(t, line.Receive(&n))
		require.True(t, time.Now().Before(last), "the token before had expired")
		claims, err := verifier.Verify(n.Token, time.Now())
		require.NoError(t, err)
		require.Equal(t, []string{org}, claims.Namespaces)
		require.Equal(t, token.RoleCell, claims.Role)
		last = claims.Expires
	}
}

// TestTokensAreReplacedAfterTheClockWasSet: a token that was made while the clock
// was off may have expired for everybody else.
func TestTokensAreReplacedAfterTheClockWasSet(t *testing.T) {
	for _, off := range []time.Duration{-2 * time.Hour, 2 * time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			t.Parallel()
			signer, err := token.NewSigner()
			require.NoError(t, err)
			ours, theirs := net.Pipe()
			t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
			c := &cell{
				host:         New(Config{Signer: signer, Logger: slog.New(slog.DiscardHandler)}),
				organization: schema.NewID(schema.PrefixOrganization), line: worker.NewLine(ours),
				minted: time.Now().Round(0).Add(off),
			}
			go c.refreshTokens(t.Context())
			require.NoError(t, theirs.SetReadDeadline(time.Now().Add(2*renewEvery)))
			var n worker.Notice
			require.NoError(t, worker.NewLine(theirs).Receive(&n))
			_, err = signer.Verifier().Verify(n.Token, time.Now())
			require.NoError(t, err)
		})
	}
}
