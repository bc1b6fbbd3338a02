package engine

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/headers"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	sqliteschema "go.temporal.io/server/schema/sqlite"

	"github.com/tenonhq/tenon/schema"
)

// Version is that of the Temporal server inside.
const Version = headers.ServerVersion

const (
	databaseFile = "temporal.db"
	draftPrefix  = "new-"
	versionFile  = "version"
)

// sqliteStore prepares the engine's file and says how to open it.
//
// The server has no migration for SQLite: a file is good for the version that
// made it and for no other. A file of another version is renamed, never
// deleted, and a fresh one made; the cells start again what was running, since
// the truth is theirs (invariant 6).
func sqliteStore(directory string, now time.Time, log *slog.Logger) (*config.SQL, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the engine's directory cannot be made: %w", err)
	}
	file := filepath.Join(directory, databaseFile)
	if err := setAside(directory, now, log); err != nil {
		return nil, err
	}
	store := &config.SQL{
		PluginName: sqlite.PluginName,
		// The name becomes part of a URI.
		DatabaseName: (&url.URL{Path: file}).EscapedPath(),
		ConnectAttributes: map[string]string{
			"mode":         "rwc",
			"journal_mode": "wal",
			// Acknowledged means kept: no relaxed commits (invariant 6).
			"synchronous":  "full",
			"busy_timeout": "10000",
		},
		// SQLite has one writer, and the server's transactions do not say
		// beforehand that they will write: a second connection fails them.
		MaxConns:     1,
		MaxIdleConns: 1,
	}
	if _, err := os.Stat(file); err == nil {
		return store, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, schema.Errorf(schema.CodeUnavailable, "the engine's file cannot be opened: %w", err)
	}
	if err := create(directory, file, store); err != nil {
		return nil, err
	}
	return store, nil
}

// create makes the schema in a file of another name and moves it into place,
// so that a crash leaves no half-made engine file behind.
func create(directory, file string, store *config.SQL) error {
	leftover, err := filepath.Glob(filepath.Join(directory, draftPrefix+"*"))
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "half-made engine files cannot be looked for: %w", err)
	}
	for _, old := range leftover {
		if err := os.Remove(old); err != nil {
			return schema.Errorf(schema.CodeUnavailable, "a half-made engine file cannot be removed: %w", err)
		}
	}
	// The plugin keeps a connection by name for the life of the process.
	draft := filepath.Join(directory, draftPrefix+rand.Text())
	made := *store
	made.DatabaseName = (&url.URL{Path: draft}).EscapedPath()
	// Nothing reads the draft before it is whole: it need not survive a crash.
	made.ConnectAttributes = map[string]string{"mode": "rwc", "journal_mode": "memory", "synchronous": "off"}
	if err := sqliteschema.SetupSchema(&made); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the engine's file cannot be made: %w", err)
	}
	if err := os.Chmod(draft, 0o600); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the engine's file cannot be protected: %w", err)
	}
	if err := syncPath(draft); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(directory, versionFile), []byte(Version+"\n"), 0o600); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the engine's version cannot be written: %w", err)
	}
	if err := os.Rename(draft, file); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the engine's file cannot be put in place: %w", err)
	}
	return syncPath(directory)
}

// setAside renames an engine file of another server version.
func setAside(directory string, now time.Time, log *slog.Logger) error {
	file := filepath.Join(directory, databaseFile)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	made, err := os.ReadFile(filepath.Join(directory, versionFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return schema.Errorf(schema.CodeUnavailable, "the engine's version cannot be read: %w", err)
	}
	version := strings.TrimSpace(string(made))
	if version == Version {
		return nil
	}
	aside := file + "." + now.UTC().Format("20060102T150405.000000000Z")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(file+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return schema.Errorf(schema.CodeUnavailable, "the engine file of another version cannot be set aside: %w", err)
		}
	}
	log.Warn("the engine file was made by another server version: it is set aside and a fresh one made; the cells start again what was running",
		"made_by", version, "server", Version, "kept_as", filepath.Base(aside))
	return nil
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the engine's file cannot be synced: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the engine's file cannot be synced: %w", err)
	}
	return nil
}
