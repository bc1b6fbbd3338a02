package store

import (
	"context"
	"embed"
	"errors"
	"sync/atomic"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store/internal/database"
)

//go:embed migrations
var migrations embed.FS

// side is one database of ours, or one schema of one: its tables, its chain
// of the audit log, and the committer through which all its writes go.
type side struct {
	*database.DB
	chain string
	w     *writer
	// actless: its log is of before there were acts.
	actless atomic.Bool
}

// locks are the advisory locks that order the writers of a schema on
// PostgreSQL. The numbers are ours alone within a database of ours.
var locks = map[string]int64{
	ChainControl: 0x74656e6f6e01,
	ChainDoor:    0x74656e6f6e02,
	ChainWork:    0x74656e6f6e03,
}

// errNotMigrated is in the chain of what OpenCell says of a database that an older
// binary made.
var errNotMigrated = errors.New("its schema is older than this binary")

// NotMigrated tells whether databases could not be used because their host has not
// brought them up to date yet.
func NotMigrated(err error) bool { return errors.Is(err, errNotMigrated) }

func openSide(ctx context.Context, url, chain string, readOnly, migrate bool) (*side, error) {
	return openAs(ctx, url, chain, readOnly, func(db *database.DB) error { return prepare(ctx, db, chain, migrate) })
}

// actsSince is the first version of a chain's schema that has acts.
var actsSince = map[string]int{ChainDoor: 10, ChainWork: 11}

// openLog opens a side to read its log, which one migration of a cell alone has
// changed since the first: a database is looked at as an older binary left it, asleep
// since an upgrade or restored from before one.
func openLog(ctx context.Context, url, chain string) (*side, error) {
	actless := false
	s, err := openAs(ctx, url, chain, true, func(db *database.DB) error {
		err := prepare(ctx, db, chain, false)
		if !NotMigrated(err) {
			return err
		}
		// One that was never made has no log.
		v, failed := db.Version(ctx)
		if failed != nil || v == 0 {
			return err
		}
		actless = v < actsSince[chain]
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.actless.Store(actless)
	return s, nil
}

func openAs(ctx context.Context, url, chain string, readOnly bool, prepare func(*database.DB) error) (*side, error) {
	db, err := database.Open(ctx, database.Options{URL: url, Schema: chain, Lock: locks[chain], ReadOnly: readOnly})
	if err != nil {
		return nil, err
	}
	if err := prepare(db); err != nil {
		_ = db.Close()
		return nil, err
	}
	return &side{DB: db, chain: chain, w: newWriter(db, chain)}, nil
}

func prepare(ctx context.Context, db *database.DB, chain string, migrate bool) error {
	if migrate {
		_, err := bringUp(ctx, db, chain)
		return err
	}
	known, err := db.Migrations(migrations, "migrations/"+chain)
	if err != nil {
		return err
	}
	older, err := db.Check(ctx, known)
	if err != nil {
		return err
	}
	if older {
		return schema.Errorf(schema.CodeUnavailable, "the %s database is not migrated yet: %w", chain, errNotMigrated)
	}
	return nil
}

// bringUp makes or migrates the schema of a chain, and says with that who may use
// it. It tells whether there was anything to do.
func bringUp(ctx context.Context, db *database.DB, chain string, rights ...string) (migrated bool, err error) {
	known, err := db.Migrations(migrations, "migrations/"+chain)
	if err != nil {
		return false, err
	}
	if err := db.EnsureSchema(ctx); err != nil {
		return false, err
	}
	return db.Migrate(ctx, known, rights...)
}

// close waits for what was accepted.
func (s *side) close() error {
	s.w.committer.Close()
	return s.Close()
}

// Commits is how many transactions were committed, for measuring how well
// writes share them.
func (s *side) Commits() int64 { return s.w.committer.Commits() }
