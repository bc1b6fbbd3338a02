package isolation_test

import (
	"database/sql"
	"net/url"
	"testing"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// roles are the addresses that the API and the cell of an organization hold.
func (o *tenant) roles() map[string]string {
	s := o.s
	s.Helper()
	forAPI, err := s.keys.OpenForAPI(s.Context(), o.org, s.private)
	require.NoError(s, err)
	forHost, err := s.keys.OpenForHost(s.Context(), o.org, s.root)
	require.NoError(s, err)
	out := map[string]string{}
	for name, encoded := range map[string]string{"api": forAPI.Databases[keystore.DatabaseAPI], "cell": forHost.Databases[keystore.DatabaseCell]} {
		urls, err := config.DecodeDatabases(encoded)
		require.NoError(s, err)
		out[name] = urls.Door
	}
	return out
}

// as connects to a database with the role of an address.
func (s *site) as(address, database string) *sql.DB {
	s.Helper()
	u, err := url.Parse(address)
	require.NoError(s, err)
	if database != "" {
		u.Path = "/" + database
	}
	db, err := sql.Open("postgres", u.String())
	require.NoError(s, err)
	s.Cleanup(func() { require.NoError(s, db.Close()) })
	return db
}

// denied asks for SQLSTATE 42501, insufficient privilege.
func (s *site) denied(err error, what ...any) {
	s.Helper()
	var known *pq.Error
	require.ErrorAs(s, err, &known, what...)
	require.Equal(s, "42501", string(known.Code), what...)
}

// TestRolesReachTheirOwnDatabaseOnly has both roles of one organization try
// every other database of the server, whether it is there or not makes no
// difference in what they get of it; and, in their own, to write each table of
// the other side, and to change what the audit log holds.
func TestRolesReachTheirOwnDatabaseOnly(t *testing.T) {
	b := storetest.PostgreSQL(t)
	on(t, b, func(s *site) {
		own, other := s.tenant("acme"), s.tenant("globex")
		admin := s.as(b.ControlURL, "")
		databases := storetest.Column(s, admin, "SELECT datname FROM pg_database WHERE datallowconn")
		require.NotEmpty(s, databases)
		mine, err := url.Parse(own.roles()["api"])
		require.NoError(s, err)
		require.Contains(s, databases, mine.Path[1:])
		theirs, err := url.Parse(other.roles()["api"])
		require.NoError(s, err)
		require.Contains(s, databases, theirs.Path[1:])
		for role, address := range own.roles() {
			for _, database := range databases {
				err := s.as(address, database).PingContext(s.Context())
				if database == mine.Path[1:] {
					require.NoError(s, err)
					continue
				}
				s.denied(err, "%s enters %s", role, database)
			}
			in := s.as(address, "")
			other := map[string]string{"api": "work", "cell": "door"}[role]
			tables := storetest.Column(s, in, "SELECT tablename FROM pg_tables WHERE schemaname = $1", other)
			require.NotEmpty(s, tables)
			for _, table := range tables {
				name := other + "." + pq.QuoteIdentifier(table)
				for _, statement := range []string{"DELETE FROM " + name, "INSERT INTO " + name + " DEFAULT VALUES", "TRUNCATE " + name, "DROP TABLE " + name} {
					_, err := in.ExecContext(s.Context(), statement)
					s.denied(err, "%s: %s", role, statement)
				}
			}
			for _, chain := range []string{"door", "work"} {
				for _, statement := range []string{"DELETE FROM " + chain + ".audit", "UPDATE " + chain + ".audit SET actor = ''", "TRUNCATE " + chain + ".audit"} {
					_, err := in.ExecContext(s.Context(), statement)
					s.denied(err, "%s: %s", role, statement)
				}
			}
			for _, statement := range []string{"CREATE ROLE x", "CREATE DATABASE x", "CREATE SCHEMA x", "CREATE TABLE public.x ()"} {
				_, err := in.ExecContext(s.Context(), statement)
				s.denied(err, "%s: %s", role, statement)
			}
		}
	})
}
