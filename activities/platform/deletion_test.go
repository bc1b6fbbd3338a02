package platform_test

import (
	"context"
	"database/sql"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/activities/platform"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// deletes are the activities of a deletion in the order of the workflow.
func deletes(p *platform.Platform) []func(context.Context, string) error {
	return []func(context.Context, string) error{
		p.DeleteShut, p.DeleteKeys, p.DeleteDatabases,
		func(ctx context.Context, organization string) error {
			_, err := p.DeleteNamespace(ctx, organization)
			return err
		},
		p.DeleteForget,
	}
}

// provisioned makes the cell, as a first host does.
func (s *site) provisioned() {
	s.Helper()
	for _, activity := range steps(s.host()) {
		require.NoError(s, activity(s.Context(), s.Organization))
	}
	s.works()
}

func (s *site) begin() {
	s.Helper()
	require.NoError(s, s.control.BeginDeletion(s.Context(), s.Organization, store.AuditDraft{Actor: "test", Action: "organization.delete", Target: s.Organization}))
}

// postgres runs a query on the server of the cells' databases.
func (s *site) postgres(query string, args ...any) []string {
	s.Helper()
	return s.query(s.Admin.PostgresURL, query, args...)
}

// within is the address of another database there.
func (s *site) within(database string) string {
	s.Helper()
	address, err := url.Parse(s.Admin.PostgresURL)
	require.NoError(s, err)
	address.Path = "/" + database
	return address.String()
}

func (s *site) query(address, query string, args ...any) []string {
	s.Helper()
	db, err := sql.Open("postgres", address)
	require.NoError(s, err)
	defer func() { require.NoError(s, db.Close()) }()
	return storetest.Column(s, db, query, args...)
}

// name is the base of what PostgreSQL has of the cell.
func (s *site) name() string {
	return "tenon_" + strings.TrimPrefix(s.Organization, string(schema.PrefixOrganization)+"_")
}

// nothing looks for whatever a deleted organization has left.
func (s *site) nothing() {
	s.Helper()
	files, err := os.ReadDir(s.KeyStore)
	require.NoError(s, err)
	require.Len(s, files, 1, "in the key store")
	require.Equal(s, ".lock", files[0].Name())
	if s.Admin.PostgresURL != "" {
		require.Empty(s, s.postgres("SELECT datname FROM pg_database WHERE datname LIKE $1", s.name()+"%"))
		require.Empty(s, s.postgres("SELECT rolname FROM pg_roles WHERE rolname LIKE $1", s.name()+"%"))
	} else {
		_, err := os.Stat(filepath.Join(s.Admin.Directory, s.Organization))
		require.ErrorIs(s, err, fs.ErrNotExist)
	}
	_, err = s.control.GetCell(s.Context(), s.Organization)
	require.Equal(s, schema.CodeNotFound, schema.CodeOf(err))
	gone, err := s.control.Deleted(s.Context(), s.Organization)
	require.NoError(s, err)
	require.True(s, gone)
	entries, err := s.control.ListAudit(s.Context(), store.AuditFilter{Action: "organization.deleted"})
	require.NoError(s, err)
	require.Len(s, entries, 1)
	_, err = s.control.VerifyAudit(s.Context())
	require.NoError(s, err)
}

// TestEachDeletionByAnotherHost has a host die after each activity, and the
// next one do that one again, also after all is gone.
func TestEachDeletionByAnotherHost(t *testing.T) {
	each(t, func(s *site) {
		s.provisioned()
		for _, activity := range deletes(s.host()) {
			require.Error(s, activity(s.Context(), s.Organization), "nobody has asked for it")
		}
		s.works()
		s.begin()
		for i := range deletes(s.host()) {
			for range 2 {
				require.NoError(s, deletes(s.host())[i](s.Context(), s.Organization))
			}
		}
		s.nothing()
		for _, activity := range deletes(s.host()) {
			require.NoError(s, activity(s.Context(), s.Organization))
		}
		s.nothing()
		require.NotEmpty(s, s.removed)
	})
}

// TestNothingIsMadeBehindADeletion: a provisioning that somebody takes up again
// makes nothing for an organization that is being deleted, or is gone.
func TestNothingIsMadeBehindADeletion(t *testing.T) {
	each(t, func(s *site) {
		s.provisioned()
		s.begin()
		for _, end := range []bool{false, true} {
			if end {
				for _, activity := range deletes(s.host()) {
					require.NoError(s, activity(s.Context(), s.Organization))
				}
			} else {
				require.NoError(s, s.host().DeleteKeys(s.Context(), s.Organization))
			}
			named := len(s.named)
			p := s.host()
			for _, activity := range []func(context.Context, string) error{p.Keys, p.Databases, p.Namespace} {
				require.Error(s, activity(s.Context(), s.Organization))
			}
			require.Len(s, s.named, named)
			_, err := s.keys.Get(s.Context(), s.Organization)
			require.Equal(s, schema.CodeNotFound, schema.CodeOf(err))
		}
		s.nothing()
	})
}

// TestKilledDeletions kills hosts with -9 anywhere in their deletion. The last
// one is left alone, and leaves nothing.
func TestKilledDeletions(t *testing.T) {
	each(t, func(s *site) {
		s.provisioned()
		s.begin()
		s.Deletes = true
		rng := rand.New(rand.NewPCG(3, 4))
		for range 3 {
			s.kill(time.Duration(rng.IntN(40)) * time.Millisecond)
		}
		for _, activity := range deletes(s.host()) {
			require.NoError(s, activity(s.Context(), s.Organization))
		}
		s.nothing()
	})
}

// TestShredded takes copies of every database first, deletes the organization
// and puts the copies back: whoever has them, and the root key and the API key,
// and another organization's, reads nothing (invariant 3).
func TestShredded(t *testing.T) {
	each(t, func(s *site) {
		const canary = "canary-5e1f-payload"
		s.provisioned()
		entry, err := s.keys.Get(s.Context(), s.Organization)
		require.NoError(s, err)
		opened, err := entry.OpenForHost(s.root)
		require.NoError(s, err)
		at := place.Audit(s.Organization, store.ChainDoor)
		data := seal.NewDataKeys(opened.DataKeys[0], opened.DataKeys[1:]...)
		sealed := data.Seal(at, []byte(canary))
		write := s.door()
		require.NoError(s, write.Door().AppendAudit(s.Context(), store.AuditDraft{Actor: "test", Action: "canary", DetailSealed: sealed}))
		require.NoError(s, write.Close())
		_, err = data.Open(at, sealed)
		require.NoError(s, err, "before, it opens")

		back := s.copies()
		s.begin()
		for _, activity := range deletes(s.host()) {
			require.NoError(s, activity(s.Context(), s.Organization))
		}
		s.nothing()
		door := back()
		entries, err := door.ListAudit(s.Context(), store.AuditFilter{Action: "canary"})
		require.NoError(s, err)
		require.Len(s, entries, 1, "the copy is whole")
		require.NotContains(s, string(entries[0].Detail), canary)

		_, err = s.keys.OpenForHost(s.Context(), s.Organization, s.root)
		require.Equal(s, schema.CodeNotFound, schema.CodeOf(err))
		_, err = s.keys.OpenForAPI(s.Context(), s.Organization, s.api)
		require.Equal(s, schema.CodeNotFound, schema.CodeOf(err))
		// Keys that are made now, for the same organization, are others.
		again, err := keystore.Generate(s.Organization, s.root.Public(), s.api.Public())
		require.NoError(s, err)
		other, err := again.OpenForHost(s.root)
		require.NoError(s, err)
		_, err = seal.NewDataKeys(other.DataKeys[0]).Open(at, entries[0].Detail)
		require.Error(s, err)
	})
}

// door opens the cell as the API does.
func (s *site) door() *store.Cell {
	s.Helper()
	opened, err := s.keys.OpenForAPI(s.Context(), s.Organization, s.api)
	require.NoError(s, err)
	urls, err := config.DecodeDatabases(opened.Databases[keystore.DatabaseAPI])
	require.NoError(s, err)
	c, err := store.OpenCell(s.Context(), store.CellURLs{Door: urls.Door, Work: urls.Work}, store.SideAPI)
	require.NoError(s, err)
	return c
}

// copies takes copies of the cell's databases; back restores them under their
// former names and opens the door.
func (s *site) copies() (back func() *store.Door) {
	s.Helper()
	open := func(urls store.CellURLs) *store.Door {
		c, err := store.OpenCell(s.Context(), urls, store.SideBoth)
		require.NoError(s, err)
		s.Cleanup(func() { require.NoError(s, c.Close()) })
		return c.Door()
	}
	if s.Admin.PostgresURL == "" {
		from, to := filepath.Join(s.Admin.Directory, s.Organization), filepath.Join(s.TempDir(), "copy")
		require.NoError(s, os.CopyFS(to, os.DirFS(from)))
		return func() *store.Door {
			require.NoError(s, os.CopyFS(from, os.DirFS(to)))
			return open(store.CellURLs{
				Door: "sqlite:" + filepath.Join(from, "door", "door.db"), Work: "sqlite:" + filepath.Join(from, "work", "work.db"),
			})
		}
	}
	name, kept := pq.QuoteIdentifier(s.name()), pq.QuoteIdentifier("backup_of_"+s.name())
	s.postgres("CREATE DATABASE " + kept + " TEMPLATE " + name)
	// Like a dump, the copy does not hold on to the roles.
	s.query(s.within("backup_of_"+s.name()), "DROP OWNED BY "+pq.QuoteIdentifier(s.name()+"_api")+", "+pq.QuoteIdentifier(s.name()+"_cell"))
	return func() *store.Door {
		s.postgres("ALTER DATABASE " + kept + " RENAME TO " + name)
		return open(store.CellURLs{Door: s.within(s.name()), Work: s.within(s.name())})
	}
}
