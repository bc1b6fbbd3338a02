package database

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/lib/pq"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"github.com/tenonhq/tenon/schema"
)

// IdleTime is how long an unused connection stays open: a thousand cells may
// be open at a time, most of them silent, on a server that has few sessions.
const IdleTime = 10 * time.Second

// Options say what to open.
type Options struct {
	// URL is "sqlite:/absolute/path" or "postgres://…".
	URL string
	// Schema is the PostgreSQL schema of the tables.
	Schema string
	// Lock is the advisory lock that orders the writers of Schema.
	Lock int64
	// ReadOnly opens what another process writes.
	ReadOnly bool
}

// DB is one side of one database: a writer and a small pool of readers.
type DB struct {
	// Postgres tells the dialect.
	Postgres bool

	schema     string
	lock       int64
	writer     *bun.DB // nil when opened read-only
	reader     *bun.DB
	background context.Context //nolint:containedctx // values of the opener, never ended: transactions outlive requests

	statements sync.Map // text to *sql.Stmt, on reader
	session    *session // of the committer's goroutine, until it rests

	mu      sync.Mutex
	resting bool // no transaction is open: rest may take the session away
	rest    *time.Timer
}

// Open opens the database; it does not migrate it. SQLite files are created
// unless opened read-only.
func Open(ctx context.Context, o Options) (*DB, error) {
	d := &DB{schema: o.Schema, lock: o.Lock, background: context.WithoutCancel(ctx)}
	var err error
	if path, ok := strings.CutPrefix(o.URL, "sqlite:"); ok {
		err = d.openSQLite(path, o.ReadOnly)
	} else {
		err = d.openPostgres(o)
	}
	if err != nil {
		return nil, err
	}
	if err := d.reader.PingContext(ctx); err != nil {
		_ = d.Close()
		return nil, Error("open the database", err)
	}
	return d, nil
}

func (d *DB) openSQLite(path string, readOnly bool) error {
	if !filepath.IsAbs(path) {
		return schema.Errorf(schema.CodeInvalid, "a SQLite URL must be sqlite: and an absolute path")
	}
	if !readOnly {
		// The write-ahead log and the shared memory take their mode from here.
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return schema.Errorf(schema.CodeUnavailable, "the database file cannot be opened: %w", err)
		}
		if err := f.Close(); err != nil {
			return schema.Errorf(schema.CodeUnavailable, "the database file cannot be opened: %w", err)
		}
		// auto_vacuum must be set before the first table; the file's mode of
		// journal is kept in it, so readers need not ask for it.
		w, err := openFile(path, "rw", "journal_mode(WAL)", "synchronous(FULL)", "cache_size(-1024)",
			"wal_autocheckpoint(1000)", "journal_size_limit(4194304)", "foreign_keys(1)", "recursive_triggers(1)")
		if err != nil {
			return err
		}
		w.SetMaxOpenConns(1)
		w.SetConnMaxIdleTime(IdleTime)
		d.writer = bun.NewDB(w, sqlitedialect.New())
		if err := d.writer.PingContext(d.background); err != nil {
			_ = w.Close()
			return Error("open the database", err)
		}
	}
	r, err := openFile(path, "ro", "query_only(1)", "cache_size(-512)")
	if err != nil {
		return err
	}
	r.SetMaxOpenConns(3)
	r.SetMaxIdleConns(3)
	r.SetConnMaxIdleTime(IdleTime)
	d.reader = bun.NewDB(r, sqlitedialect.New())
	return nil
}

func openFile(path, mode string, pragmas ...string) (*sql.DB, error) {
	var b strings.Builder
	b.WriteString("file:")
	b.WriteString(strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path))
	b.WriteString("?mode=")
	b.WriteString(mode)
	for _, p := range append([]string{"busy_timeout(10000)", "temp_store(MEMORY)"}, pragmas...) {
		b.WriteString("&_pragma=")
		b.WriteString(p)
	}
	db, err := sql.Open("sqlite", b.String())
	if err != nil {
		return nil, Error("open the database", err)
	}
	return db, nil
}

func (d *DB) openPostgres(o Options) error {
	dsn, err := PostgresDSN(o.URL, o.Schema, o.ReadOnly)
	if err != nil {
		return err
	}
	connector, err := pq.NewConnector(dsn)
	if err != nil {
		// Its text may quote the URL, and with it a password.
		return schema.Errorf(schema.CodeInvalid, "the PostgreSQL URL is not valid")
	}
	p := sql.OpenDB(patient{connector})
	p.SetMaxOpenConns(4)
	p.SetMaxIdleConns(4)
	p.SetConnMaxIdleTime(IdleTime)
	d.Postgres = true
	d.reader = bun.NewDB(p, pgdialect.New())
	if !o.ReadOnly {
		d.writer = d.reader
	}
	return nil
}

// Release gives the writer's connection back to the pool at once.
func (d *DB) Release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rest != nil {
		d.rest.Stop()
	}
	d.release(false)
}

// Bun is for reads through bun.
func (d *DB) Bun() *bun.DB { return d.reader }

// Close closes every connection. The committer must be closed before.
func (d *DB) Close() error {
	d.Release()
	d.statements.Range(func(_, s any) bool {
		if s, ok := s.(*sql.Stmt); ok {
			_ = s.Close()
		}
		return true
	})
	err := d.reader.Close()
	if d.writer != nil && d.writer != d.reader {
		// The last connection that can write folds the log into the file.
		if werr := d.writer.Close(); err == nil {
			err = werr
		}
	}
	if err != nil && !d.Postgres { // There it says that a connection was gone before.
		return Error("close the database", err)
	}
	return nil
}
