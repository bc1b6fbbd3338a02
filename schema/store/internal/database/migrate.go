package database

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/tenonhq/tenon/schema"
)

// Migration is one step of a schema. Versions count from 1 without a gap.
type Migration struct {
	Version int
	Name    string
	SQL     string
}

const versions = `CREATE TABLE IF NOT EXISTS schema_versions (
  version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)`

// Migrations reads the files "NNNN_name.DIALECT.sql" of a folder.
func (d *DB) Migrations(files fs.FS, folder string) ([]Migration, error) {
	suffix := ".sqlite.sql"
	if d.Postgres {
		suffix = ".postgres.sql"
	}
	names, err := fs.Glob(files, folder+"/*"+suffix)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInternal, "migrations cannot be listed: %w", err)
	}
	out := make([]Migration, 0, len(names))
	for i, name := range names {
		number, rest, _ := strings.Cut(strings.TrimSuffix(path.Base(name), suffix), "_")
		if n, err := strconv.Atoi(number); err != nil || n != i+1 {
			return nil, schema.Errorf(schema.CodeInternal, "migration %s is out of sequence", name)
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, schema.Errorf(schema.CodeInternal, "a migration cannot be read: %w", err)
		}
		out = append(out, Migration{Version: i + 1, Name: rest, SQL: string(text)})
	}
	return out, nil
}

// Version is the newest migration applied; 0 for an empty database.
func (d *DB) Version(ctx context.Context) (int, error) {
	exists := "SELECT COUNT(*) FROM sqlite_master WHERE name = 'schema_versions'"
	if d.Postgres {
		exists = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = 'schema_versions'"
	}
	var n int
	if err := d.reader.DB.QueryRowContext(ctx, exists).Scan(&n); err != nil {
		return 0, Error("read the schema's version", err)
	}
	if n == 0 {
		return 0, nil
	}
	var v sql.NullInt64
	if err := d.reader.DB.QueryRowContext(ctx, "SELECT MAX(version) FROM schema_versions").Scan(&v); err != nil {
		return 0, Error("read the schema's version", err)
	}
	return int(v.Int64), nil
}

// Check refuses a database that is newer than the binary, and says whether it
// is older.
func (d *DB) Check(ctx context.Context, migrations []Migration) (older bool, err error) {
	v, err := d.Version(ctx)
	if err != nil {
		return false, err
	}
	if v > len(migrations) {
		return false, newer(v, len(migrations))
	}
	return v < len(migrations), nil
}

func newer(found, known int) error {
	return schema.Errorf(schema.CodeConflict, "the database has schema version %d, and this binary knows %d at most", found, known).
		Advise("run the newer binary, or restore the database from before the upgrade")
}

// EnsureSchema makes the schema of the tables on PostgreSQL.
func (d *DB) EnsureSchema(ctx context.Context) error {
	if !d.Postgres || d.schema == "" {
		return nil
	}
	var there bool
	err := d.reader.DB.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)", d.schema).Scan(&there)
	if err == nil && !there {
		_, err = d.reader.DB.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+pq.QuoteIdentifier(d.schema))
	}
	return Error("make the schema", err)
}

// Migrate applies what is missing, all of it in one transaction, which also
// executes the statements of rights: who may use a new table stands with it or
// not at all. It tells whether anything was missing. It must run before the
// committer starts; concurrent processes wait.
func (d *DB) Migrate(ctx context.Context, migrations []Migration, rights ...string) (migrated bool, err error) {
	older, err := d.Check(ctx, migrations)
	if err != nil || !older {
		return false, err
	}
	t, err := d.Begin(true, nil)
	if err != nil {
		return false, err
	}
	defer d.Release()
	if err := t.advance(migrations, rights); err != nil {
		d.Rollback(t)
		return false, err
	}
	return true, d.Commit(t)
}

func (t *Tx) advance(migrations []Migration, rights []string) error {
	conn := t.s.conn.Conn
	if t.Postgres() {
		// A table that is copied takes as long as it is large.
		if _, err := conn.ExecContext(t.ctx, "SET LOCAL statement_timeout = 0"); err != nil {
			return Error("migrate", err)
		}
	}
	if _, err := conn.ExecContext(t.ctx, versions); err != nil {
		return Error("migrate", err)
	}
	// Another process may have been first.
	var v int
	if err := conn.QueryRowContext(t.ctx, "SELECT COALESCE(MAX(version), 0) FROM schema_versions").Scan(&v); err != nil {
		return Error("migrate", err)
	}
	if v > len(migrations) {
		return newer(v, len(migrations))
	}
	for _, next := range migrations[v:] {
		record := fmt.Sprintf("INSERT INTO schema_versions (version, name, applied_at) VALUES (%d, '%s', '%s')",
			next.Version, next.Name, time.Now().UTC().Format(time.RFC3339))
		for _, statement := range []string{next.SQL, record} {
			if _, err := conn.ExecContext(t.ctx, statement); err != nil {
				return Error("migrate to version "+strconv.Itoa(next.Version), err)
			}
		}
	}
	if len(rights) == 0 {
		return nil
	}
	_, err := conn.ExecContext(t.ctx, strings.Join(rights, ";"))
	return Error("say who may use the schema", err)
}
