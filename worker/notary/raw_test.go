package notary_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// owner is somebody with SQL and every right, and the triggers out of the way.
type owner struct {
	*sql.DB
	t        *testing.T
	postgres bool
}

func (s *site) owner(chain string) owner {
	s.Helper()
	address := s.ControlURL
	if chain != store.ChainControl {
		address = map[string]string{store.ChainDoor: s.made.API.Door, store.ChainWork: s.made.API.Work}[chain]
		if s.Name == "postgres" {
			u, err := url.Parse(address)
			require.NoError(s, err)
			address = storetest.Postgres(s.T).URL(strings.TrimPrefix(u.Path, "/"))
		}
	}
	driver, dsn := "sqlite", "file:"+strings.TrimPrefix(address, "sqlite:")+"?_pragma=busy_timeout(10000)"
	if s.Name == "postgres" {
		u, err := url.Parse(address)
		require.NoError(s, err)
		q := u.Query()
		q.Set("search_path", chain)
		u.RawQuery = q.Encode()
		driver, dsn = "postgres", u.String()
	}
	db, err := sql.Open(driver, dsn)
	require.NoError(s, err)
	s.Cleanup(func() { _ = db.Close() })
	o := owner{DB: db, t: s.T, postgres: s.Name == "postgres"}
	tables := []string{"audit"}
	if chain == store.ChainControl {
		tables = append(tables, "checkpoints")
	}
	for _, table := range tables {
		if o.postgres {
			o.do("ALTER TABLE " + table + " DISABLE TRIGGER ALL")
			continue
		}
		o.do("DROP TRIGGER " + table + "_no_update")
		o.do("DROP TRIGGER " + table + "_no_delete")
	}
	return o
}

func (o owner) do(statement string, args ...any) {
	o.t.Helper()
	if o.postgres {
		for i := range args {
			statement = strings.Replace(statement, "?", fmt.Sprint("$", i+1), 1)
		}
	}
	_, err := o.ExecContext(o.t.Context(), statement, args...)
	require.NoError(o.t, err, statement)
}

// rewrite changes an entry and makes every hash after it fit again.
func (s *site) rewrite(o owner, chain string, seq int64) {
	s.Helper()
	chains := s.control.Chains()
	if chain != store.ChainControl {
		var err error
		chains, err = store.OpenChains(s.Context(), s.Admin, s.org)
		require.NoError(s, err)
		defer func() { require.NoError(s, chains.Close()) }()
	}
	entries, err := chains.List(s.Context(), chain, store.AuditFilter{Oldest: true, Limit: store.MaxPage})
	require.NoError(s, err)
	for i := int(seq) - 1; i < len(entries); i++ {
		if entries[i].Seq == seq {
			entries[i].Actor = "somebody else"
		}
		entries[i].Prev = entries[i-1].Hash
		entries[i].Hash = entries[i].Digest()
		o.do("UPDATE audit SET id = ?, actor = ?, hash = ? WHERE seq = ?", entries[i].ID, entries[i].Actor, entries[i].Hash, entries[i].Seq)
	}
}

// site is an organization with entries in each of its chains.
type site struct {
	*testing.T
	storetest.Backend
	control   *store.Control
	org       string
	made      store.Provisioned
	cell      map[string]*store.Cell
	directory string
	// seals is nil while the organization's keys do not open.
	seals func(detail []byte) []byte
}

func (s *site) seal(_ context.Context, organization string, detail []byte) ([]byte, error) {
	if s.seals == nil || organization != s.org {
		return nil, schema.Errorf(schema.CodeRefused, "the keys do not open")
	}
	return s.seals(detail), nil
}

func newSite(t *testing.T, b storetest.Backend) *site {
	t.Helper()
	s := &site{T: t, Backend: b, control: b.Control(t), directory: filepath.Join(t.TempDir(), "checkpoints")}
	s.org, s.made = b.Provision(t)
	require.NoError(t, s.control.CreateOrganization(t.Context(), store.Organization{ID: s.org, Name: "acme", State: store.OrganizationActive},
		store.AuditDraft{Actor: "key_1", Action: "organization.create", Target: s.org}))
	s.cell = map[string]*store.Cell{
		store.ChainDoor: storetest.Open(t, s.made.API, store.SideAPI), store.ChainWork: storetest.Open(t, s.made.Cell, store.SideCell),
	}
	return s
}

// write appends n entries to each chain.
func (s *site) write(n int) {
	s.Helper()
	for range n {
		for _, add := range []func(context.Context, store.AuditDraft) error{
			s.control.AppendAudit, s.cell[store.ChainDoor].Door().AppendAudit, s.cell[store.ChainWork].Work().AppendAudit,
		} {
			require.NoError(s, add(s.Context(), store.AuditDraft{Actor: "key_1", Action: "act", Target: schema.NewID("x"), Organization: s.org}))
		}
	}
}
