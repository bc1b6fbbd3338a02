package notary_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/worker/notary"
)

// Invariant 2: a database that does not answer holds up nobody else's cell, and its
// own for no longer than the notary has patience.
func TestADatabaseThatHangs(t *testing.T) {
	s := newSite(t, storetest.PostgreSQL(t))
	signer := audit.NewSigner()
	n, err := notary.New(notary.Config{
		Control: s.control, Admin: s.Admin, Signer: signer, Keys: audit.NewKeys(signer.Public()), Directory: s.directory, Seal: s.seal,
		Patience: 2 * time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	other, _ := s.Provision(t)
	require.NoError(t, s.control.CreateOrganization(t.Context(), store.Organization{ID: other, Name: "globex", State: store.OrganizationActive},
		store.AuditDraft{Actor: "key_1", Action: "organization.create", Target: other}))
	s.write(1)

	hangs, err := s.Administrator(t, s.made, store.ChainDoor).BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = hangs.ExecContext(t.Context(), "LOCK TABLE audit IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	waits := make(chan error, 2)
	for range cap(waits) {
		go func() { waits <- n.Attest(t.Context(), s.org) }()
	}
	// One waits for the database, one for the first.
	watch := s.Administrator(t, s.made, store.ChainWork)
	require.Eventually(t, func() bool {
		var waiting int
		err := watch.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND relation = 'door.audit'::regclass").Scan(&waiting)
		return err == nil && waiting == 1
	}, 2*time.Second, time.Millisecond)
	require.NoError(t, n.Attest(t.Context(), other))
	select {
	case err := <-waits:
		require.FailNow(t, "the other waited for it", "%v", err)
	default:
	}
	for range cap(waits) {
		require.Error(t, <-waits)
	}
	require.NoError(t, hangs.Rollback())
	require.NoError(t, n.Attest(t.Context(), s.org))
	require.Len(t, s.signed(s.org), 1)
}

// A server that takes the connection and says nothing is given up, too, also by a
// context that never ends: the host that drains has one.
func TestAServerThatSaysNothing(t *testing.T) {
	s := newSite(t, storetest.SQLite(t))
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	signer := audit.NewSigner()
	n, err := notary.New(notary.Config{
		Control: s.control, Admin: store.Admin{PostgresURL: "postgres://tenon@" + silent.Addr().String() + "/tenon"},
		Signer: signer, Keys: audit.NewKeys(signer.Public()), Directory: s.directory, Seal: s.seal,
		Patience: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	begun := time.Now()
	require.Error(t, n.Attest(context.WithoutCancel(t.Context()), s.org))
	require.Less(t, time.Since(begun), 5*time.Second, "its connection has a patience of its own, of 10 s")
	require.NoError(t, silent.Close())
}
