package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/lib/pq"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store/internal/database"
)

// lockRights is the advisory lock, in the administrator's database, of those
// who change the rights to it.
const lockRights int64 = 0x74656e6f6e10

// concurrently is what the server says of a row of its catalogs that another
// transaction changed at the same time. Advisory locks are a database's own: those
// who come from another one, as a second installation on the server does, are not
// in the queue.
const concurrently = "XX000"

// forbidden is what it says to who may not do something.
const forbidden = "42501"

// names are the database and the roles of one cell.
type names struct{ database, api, cell string }

// namesOf uses the organization's id without its prefix: 26 letters and
// digits, which CheckID has seen to.
func namesOf(org string) names {
	base := "tenon_" + strings.TrimPrefix(org, string(schema.PrefixOrganization)+"_")
	return names{database: base, api: base + "_api", cell: base + "_cell"}
}

func provisionPostgres(ctx context.Context, adminURL, org string) (Provisioned, error) {
	n := namesOf(org)
	passwords := map[string]string{n.api: password(), n.cell: password()}
	err := asAdmin(ctx, adminURL, func(db *sql.DB) error {
		for role, secret := range passwords {
			if err := ensureRole(ctx, db, role, secret); err != nil {
				return err
			}
		}
		if err := ensureDatabase(ctx, db, n.database); err != nil {
			return err
		}
		return shutOthers(ctx, db)
	})
	if err != nil {
		return Provisioned{}, database.Error("provision the cell", err)
	}
	owner, err := withDatabase(adminURL, n.database, nil)
	if err != nil {
		return Provisioned{}, err
	}
	for _, chain := range []string{ChainDoor, ChainWork} {
		if err := provisionSchema(ctx, owner, chain, n); err != nil {
			return Provisioned{}, err
		}
	}
	api, err := withDatabase(adminURL, n.database, url.UserPassword(n.api, passwords[n.api]))
	if err != nil {
		return Provisioned{}, err
	}
	cell, err := withDatabase(adminURL, n.database, url.UserPassword(n.cell, passwords[n.cell]))
	if err != nil {
		return Provisioned{}, err
	}
	return Provisioned{API: CellURLs{Door: api, Work: api}, Cell: CellURLs{Door: cell, Work: cell}}, nil
}

// ensureRole makes a role that can do nothing but log in. One that is there
// gets the new password: what it was made without, only a superuser may name again.
func ensureRole(ctx context.Context, db *sql.DB, role, secret string) error {
	const can = " LOGIN CONNECTION LIMIT 32 PASSWORD "
	_, err := db.ExecContext(ctx, "CREATE ROLE "+pq.QuoteIdentifier(role)+" NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"+can+pq.QuoteLiteral(secret))
	if hasState(err, "42710", "23505") { // it exists, or is being made
		_, err = db.ExecContext(ctx, "ALTER ROLE "+pq.QuoteIdentifier(role)+can+pq.QuoteLiteral(secret))
	}
	return withoutStatement(err)
}

func ensureDatabase(ctx context.Context, db *sql.DB, name string) error {
	_, err := db.ExecContext(ctx, "CREATE DATABASE "+pq.QuoteIdentifier(name)+" TEMPLATE template0 ENCODING 'UTF8'")
	if err != nil && !hasState(err, "42P04", "23505") {
		return err
	}
	_, err = db.ExecContext(ctx, "REVOKE ALL ON DATABASE "+pq.QuoteIdentifier(name)+" FROM PUBLIC")
	return err
}

// shutOthers keeps the roles of cells out of the administrator's own database
// and of those that every server has: PUBLIC may connect to a database unless
// told otherwise. Where the administrator may not say so, the server's owner
// has decided.
func shutOthers(ctx context.Context, db *sql.DB) error {
	err := shutOnce(ctx, db)
	for range 10 {
		if !hasState(err, concurrently) {
			break
		}
		err = shutOnce(ctx, db)
	}
	return err
}

// OpenToAll names the server's databases that let every role in, the cells' roles
// too, and are not the platform's to shut: those of others, who share the server.
// There are none with SQLite.
func (a Admin) OpenToAll(ctx context.Context) (open []string, err error) {
	if a.PostgresURL == "" {
		return nil, nil
	}
	err = asAdmin(ctx, a.PostgresURL, func(db *sql.DB) error {
		rows, err := db.QueryContext(ctx, `SELECT datname FROM pg_database
WHERE datallowconn AND datname NOT IN (current_database(), 'postgres', 'template1')
AND EXISTS (SELECT 1 FROM aclexplode(COALESCE(datacl, acldefault('d', datdba))) WHERE grantee = 0 AND privilege_type = 'CONNECT')
ORDER BY datname`)
		open, err = collect("look at the server's databases", rows, err, func(row scanner) (string, error) {
			var name string
			return name, row.Scan(&name)
		})
		return err
	})
	return open, err
}

func shutOnce(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // After a commit it does nothing.
	// Two that change the rights to one database at a time fail, so they queue.
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", lockRights); err != nil {
		return err
	}
	rows, err := tx.QueryContext(ctx, `SELECT datname FROM pg_database
WHERE datname IN (current_database(), 'postgres', 'template1') AND pg_has_role(datdba, 'USAGE')
AND EXISTS (SELECT 1 FROM aclexplode(COALESCE(datacl, acldefault('d', datdba))) WHERE grantee = 0 AND privilege_type = 'CONNECT')`)
	open, err := collect("provision the cell", rows, err, func(row scanner) (string, error) {
		var name string
		return name, row.Scan(&name)
	})
	if err != nil {
		return err
	}
	for _, name := range open {
		if _, err := tx.ExecContext(ctx, "REVOKE CONNECT ON DATABASE "+pq.QuoteIdentifier(name)+" FROM PUBLIC"); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// provisionSchema makes and migrates the schema of one side, and says who may
// use it.
func provisionSchema(ctx context.Context, ownerURL, chain string, n names) error {
	return asOwner(ctx, ownerURL, chain, func(db *database.DB) error {
		rights := grants(chain, n)
		migrated, err := bringUp(ctx, db, chain, rights...)
		if err != nil || migrated {
			return err
		}
		// The roles may be other ones than those that the schema was made for.
		_, err = db.Bun().DB.ExecContext(ctx, strings.Join(rights, ";"))
		return database.Error("provision the cell", err)
	})
}

func migratePostgres(ctx context.Context, adminURL, org string) error {
	n := namesOf(org)
	owner, err := withDatabase(adminURL, n.database, nil)
	if err != nil {
		return err
	}
	for _, chain := range []string{ChainDoor, ChainWork} {
		if err := asOwner(ctx, owner, chain, func(db *database.DB) error {
			_, err := bringUp(ctx, db, chain, grants(chain, n)...)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

func asOwner(ctx context.Context, ownerURL, chain string, do func(*database.DB) error) error {
	db, err := database.Open(ctx, database.Options{URL: ownerURL, Schema: chain, Lock: locks[chain]})
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing is lost with it
	return do(db)
}

// grants let one role write a side and the other read it. Nobody but the owner
// updates or deletes what the audit log holds, triggers or not.
func grants(chain string, n names) []string {
	writes, reads := n.api, n.cell
	if chain == ChainWork {
		writes, reads = n.cell, n.api
	}
	w, r := pq.QuoteIdentifier(writes), pq.QuoteIdentifier(reads)
	return []string{
		"GRANT CONNECT ON DATABASE " + pq.QuoteIdentifier(n.database) + " TO " + w + ", " + r,
		"GRANT USAGE ON SCHEMA " + chain + " TO " + w + ", " + r,
		"GRANT SELECT ON ALL TABLES IN SCHEMA " + chain + " TO " + w + ", " + r,
		"GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + chain + " TO " + w,
		"REVOKE UPDATE, DELETE ON " + chain + ".audit, " + chain + ".acts FROM " + w,
		"REVOKE INSERT, UPDATE, DELETE ON " + chain + ".schema_versions FROM " + w,
		"ALTER ROLE " + w + " IN DATABASE " + pq.QuoteIdentifier(n.database) + " SET synchronous_commit = on",
	}
}

func deprovisionPostgres(ctx context.Context, adminURL, org string) error {
	n := namesOf(org)
	err := asAdmin(ctx, adminURL, func(db *sql.DB) error {
		name := pq.QuoteIdentifier(n.database)
		_, err := db.ExecContext(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		if hasState(err, forbidden) {
			// An administrator that is no superuser may not end a session that cleans up,
			// and without force the server waits for it.
			_, err = db.ExecContext(ctx, "DROP DATABASE IF EXISTS "+name)
		}
		if err != nil {
			return err
		}
		for _, drop := range []string{
			"DROP ROLE IF EXISTS " + pq.QuoteIdentifier(n.api),
			"DROP ROLE IF EXISTS " + pq.QuoteIdentifier(n.cell),
		} {
			if _, err := db.ExecContext(ctx, drop); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return database.Error("deprovision the cell", err)
	}
	return nil
}

func asAdmin(ctx context.Context, adminURL string, do func(*sql.DB) error) error {
	db, err := database.Open(ctx, database.Options{URL: adminURL})
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing is lost with it
	return do(db.Bun().DB)
}

// withDatabase is the administrator's URL for another database, and for
// another role unless nil.
func withDatabase(adminURL, name string, role *url.Userinfo) (string, error) {
	u, err := url.Parse(adminURL)
	if err != nil {
		return "", schema.Errorf(schema.CodeInvalid, "the PostgreSQL URL is not valid")
	}
	q := u.Query()
	if role != nil {
		u.User = role
		q.Del("user")
		q.Del("password")
	}
	q.Del("dbname")
	u.Path, u.RawQuery = "/"+name, q.Encode()
	return u.String(), nil
}

func password() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

func hasState(err error, states ...string) bool {
	var p *pq.Error
	if !errors.As(err, &p) {
		return false
	}
	return slices.Contains(states, string(p.Code))
}

// withoutStatement keeps a statement with a password out of logs: the driver's
// error may carry it.
func withoutStatement(err error) error {
	var p *pq.Error
	if err == nil || !errors.As(err, &p) {
		return err
	}
	return schema.Errorf(schema.CodeUnavailable, "the role could not be made (SQLSTATE %s)", string(p.Code))
}
