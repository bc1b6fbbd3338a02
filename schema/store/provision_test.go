package store_test

import (
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

func TestProvisionMayBeRepeated(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		org, made := b.Provision(t)
		c, err := store.OpenCell(t.Context(), made.API, store.SideAPI)
		require.NoError(t, err)
		n := namespace(t, c.Door())
		require.NoError(t, c.Close())
		again, err := store.Provision(t.Context(), b.Admin, org)
		require.NoError(t, err)
		c, err = store.OpenCell(t.Context(), again.API, store.SideAPI)
		require.NoError(t, err)
		_, err = c.Door().GetNamespace(t.Context(), n.ID)
		require.NoError(t, err, "what was there is kept")
		require.NoError(t, c.Close())

		require.NoError(t, store.Deprovision(t.Context(), b.Admin, org))
		require.NoError(t, store.Deprovision(t.Context(), b.Admin, org))
		_, err = store.OpenCell(t.Context(), again.API, store.SideAPI)
		require.Error(t, err)
		for _, bad := range []string{"", "org_../../etc", "org_x'; DROP", schema.NewID(schema.PrefixNamespace)} {
			_, err := store.Provision(t.Context(), b.Admin, bad)
			wantCode(t, schema.CodeInvalid, err)
			wantCode(t, schema.CodeInvalid, store.Deprovision(t.Context(), b.Admin, bad))
		}
	})
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		_, err := owner(t, b, made, "work").ExecContext(t.Context(), "INSERT INTO schema_versions VALUES (9999, 'future', '')")
		require.NoError(t, err)
		for _, side := range []store.Side{store.SideAPI, store.SideCell, store.SideBoth} {
			_, err = store.OpenCell(t.Context(), made.Cell, side)
			wantCode(t, schema.CodeConflict, err)
			require.ErrorContains(t, err, "9999")
		}
		require.NoError(t, store.MigrateControl(t.Context(), b.ControlURL))
		require.NoError(t, store.MigrateControl(t.Context(), b.ControlURL))
		_, err = dial(t, b.ControlURL, "control").ExecContext(t.Context(), "INSERT INTO schema_versions VALUES (9999, 'future', '')")
		require.NoError(t, err)
		wantCode(t, schema.CodeConflict, store.MigrateControl(t.Context(), b.ControlURL))
	})
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	b := storetest.SQLite(t)
	_, made := b.Provision(t)
	accepted(t, storetest.Open(t, made.API, store.SideAPI).Door(), "a")
	found := 0
	err := filepath.WalkDir(b.Admin.Directory, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() {
			found++
			require.Zero(t, info.Mode().Perm()&0o077, d.Name())
		}
		return nil
	})
	require.NoError(t, err)
	require.GreaterOrEqual(t, found, 4, "two databases, and a log of one that is open")
}

// A role that may make databases and roles is enough, again and again.
func TestProvisionWithoutASuperuser(t *testing.T) {
	b := storetest.PostgreSQL(t)
	db := dial(t, b.ControlURL, "public")
	_, err := db.ExecContext(t.Context(), "CREATE ROLE provisioner LOGIN CREATEDB CREATEROLE PASSWORD 'provisioner'")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "GRANT CONNECT ON DATABASE postgres TO provisioner")
	require.NoError(t, err)
	u, err := url.Parse(b.Admin.PostgresURL)
	require.NoError(t, err)
	u.User, u.Path = url.UserPassword("provisioner", "provisioner"), "/postgres"
	admin := store.Admin{PostgresURL: u.String()}
	org := schema.NewID(schema.PrefixOrganization)
	for range 2 {
		made, err := store.Provision(t.Context(), admin, org)
		require.NoError(t, err)
		c, err := store.OpenCell(t.Context(), made.Cell, store.SideCell)
		require.NoError(t, err)
		require.NoError(t, c.Close())
	}
	require.NoError(t, store.Deprovision(t.Context(), admin, org))
}

// Invariant 2: a cell's roles are shut out of every other database, and each
// side out of the other's tables.
func TestPostgresRoles(t *testing.T) {
	b := storetest.PostgreSQL(t)
	require.NoError(t, store.MigrateControl(t.Context(), b.ControlURL))
	_, one := b.Provision(t)
	_, two := b.Provision(t)
	control, err := url.Parse(b.ControlURL)
	require.NoError(t, err)
	other, err := url.Parse(two.API.Door)
	require.NoError(t, err)
	for role, address := range map[string]string{"api": one.API.Door, "cell": one.Cell.Door} {
		for _, name := range []string{strings.TrimPrefix(other.Path, "/"), strings.TrimPrefix(control.Path, "/"), "postgres", "template1"} {
			u, err := url.Parse(address)
			require.NoError(t, err)
			u.Path = "/" + name
			require.ErrorContains(t, dial(t, u.String(), "public").PingContext(t.Context()), "permission denied", "%s to %s", role, name)
		}
	}
	_, err = storetest.Open(t, one.API, store.SideBoth).Door().GetNamespace(t.Context(), "x")
	wantCode(t, schema.CodeNotFound, err)

	accepted(t, storetest.Open(t, one.API, store.SideAPI).Door(), "a")
	started(t, storetest.Open(t, one.Cell, store.SideCell).Work(), 1)
	for _, c := range []struct {
		role      *sql.DB
		own, read string
	}{
		{dial(t, one.API.Door, "door"), "door", "work"},
		{dial(t, one.Cell.Work, "work"), "work", "door"},
	} {
		var n int
		require.NoError(t, c.role.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+c.read+".audit").Scan(&n))
		require.Equal(t, 1, n)
		for _, statement := range []string{
			"INSERT INTO " + c.read + ".audit VALUES (99, 0, '', '', '', '', '', '', '')",
			"UPDATE " + c.read + ".audit SET actor = ''",
			"UPDATE " + c.own + ".audit SET actor = ''",
			"DELETE FROM " + c.own + ".audit",
			"TRUNCATE " + c.own + ".audit",
			"ALTER TABLE " + c.own + ".audit DISABLE TRIGGER ALL",
			"DROP TABLE " + c.own + ".audit",
			"DELETE FROM " + c.own + ".schema_versions",
			"CREATE TABLE " + c.own + ".mine (x int)",
			"CREATE TABLE public.mine (x int)",
			"CREATE TEMPORARY TABLE mine (x int)",
			"CREATE SCHEMA mine",
			"CREATE ROLE mine",
			"DELETE FROM door.events WHERE EXISTS (SELECT 1 FROM work.runs) AND '" + c.own + "' = 'work'",
		} {
			if c.own == "door" && strings.HasPrefix(statement, "DELETE FROM door.events") {
				continue
			}
			_, err := c.role.ExecContext(t.Context(), statement)
			require.Error(t, err, statement)
			require.Regexp(t, "permission denied|must be owner", err.Error(), statement)
		}
	}
}

// A server that others use, too: their databases let every role in unless they were
// told otherwise, and a host names them.
func TestOpenToAll(t *testing.T) {
	b := storetest.PostgreSQL(t)
	b.Provision(t)
	other := storetest.Postgres(t).Database(t)
	u, err := url.Parse(other)
	require.NoError(t, err)
	name := strings.TrimPrefix(u.Path, "/")
	open, err := b.Admin.OpenToAll(t.Context())
	require.NoError(t, err)
	require.Contains(t, open, name)
	for _, own := range []string{"postgres", "template0", "template1"} {
		require.NotContains(t, open, own)
	}
	for _, database := range open {
		require.False(t, strings.HasPrefix(database, "tenon_"), "%s is a cell's", database)
	}
	db, err := sql.Open("postgres", other)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `REVOKE CONNECT ON DATABASE "`+name+`" FROM PUBLIC`)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	open, err = b.Admin.OpenToAll(t.Context())
	require.NoError(t, err)
	require.NotContains(t, open, name)
	open, err = store.Admin{Directory: t.TempDir()}.OpenToAll(t.Context())
	require.NoError(t, err)
	require.Empty(t, open)
}

func TestURLsAreChecked(t *testing.T) {
	const secret = "hunter2secret"
	for _, address := range []string{
		"", "sqlite:relative.db", "mysql://u:" + secret + "@h/db", "postgres://u:" + secret + "@db.example.com/x?sslmode=disable",
		"postgres://u:" + secret + "@db.example.com/x?sslmode=require", "postgres://u:" + secret + "@%zz/", "postgres://u:" + secret + "@127.0.0.1/x?sslmode=odd",
		"postgres://u:" + secret + "@/x?host=/tmp,10.0.0.1&sslmode=disable",
	} {
		_, err := store.OpenControl(t.Context(), address)
		wantCode(t, schema.CodeInvalid, err)
		for e := err; e != nil; e = unwrapped(e) {
			require.NotContains(t, e.Error(), secret)
		}
	}
}

// TestProvisionFromSeveralDatabases: two installations on one server shut its
// databases to the roles of cells at the same time, and neither fails for it.
func TestProvisionFromSeveralDatabases(t *testing.T) {
	cluster := storetest.Postgres(t)
	server := dial(t, cluster.URL("postgres"), "public")
	var admins []string
	for range 4 {
		admins = append(admins, cluster.Database(t))
	}
	for range 20 {
		_, err := server.ExecContext(t.Context(), "GRANT CONNECT ON DATABASE template1 TO PUBLIC")
		require.NoError(t, err)
		var wg sync.WaitGroup
		for _, admin := range admins {
			wg.Go(func() { assert.NoError(t, store.ShutOthers(t.Context(), admin)) })
		}
		wg.Wait()
	}
}

// A server without a session left is waited for: others end theirs.
func TestACrowdedServer(t *testing.T) {
	b := storetest.PostgreSQL(t)
	_, made := b.Provision(t)
	u, err := url.Parse(made.Cell.Work)
	require.NoError(t, err)
	_, err = dial(t, b.Admin.PostgresURL, "public").ExecContext(t.Context(), `ALTER ROLE "`+u.User.Username()+`" CONNECTION LIMIT 4`)
	require.NoError(t, err)
	others := make([]*sql.Conn, 4)
	pool := dial(t, made.Cell.Work, "work")
	for i := range others {
		others[i], err = pool.Conn(t.Context())
		require.NoError(t, err)
	}
	_, err = dial(t, made.Cell.Work, "work").Conn(t.Context())
	require.ErrorContains(t, err, "53300")
	time.AfterFunc(200*time.Millisecond, func() {
		for _, c := range others {
			_ = c.Close()
		}
		_ = pool.Close()
	})
	c, err := store.OpenCell(t.Context(), made.Cell, store.SideCell)
	require.NoError(t, err)
	require.NoError(t, c.Close())
}
