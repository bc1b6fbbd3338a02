package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/tenonhq/tenon/cmd/internal/custody"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

// paths are the places in the data directory.
type paths struct {
	keys, cellKeys, control, cells, engine, run, logs string
	adminKey, rootPublic, apiPublic, signer, verifier string
	bell                                              string
	// checkpoints are kept apart from every database; their key is the host's.
	checkpoints, checkpointKey, checkpointPublic string
}

func pathsOf(data string) paths {
	keys := filepath.Join(data, "keys")
	return paths{
		keys: keys, cellKeys: filepath.Join(data, "keystore"), control: filepath.Join(data, "control"),
		cells: filepath.Join(data, "cells"), engine: filepath.Join(data, "engine"), run: filepath.Join(data, "run"),
		logs: filepath.Join(data, "logs"), adminKey: filepath.Join(data, "admin.key"),
		rootPublic: filepath.Join(keys, "root.pub"), apiPublic: filepath.Join(keys, "api.pub"),
		signer: filepath.Join(keys, "engine-token.key"), verifier: filepath.Join(keys, "engine-token.pub"),
		bell:        filepath.Join(data, "run", "bell.sock"),
		checkpoints: filepath.Join(data, "checkpoints"), checkpointKey: filepath.Join(keys, "checkpoint.key"),
		checkpointPublic: filepath.Join(keys, "checkpoint.pub"),
	}
}

// directories makes the data directory's folders, closed to others.
func (p paths) directories() error {
	for _, dir := range []string{p.keys, p.cellKeys, p.control, p.cells, p.engine, p.run, p.logs, p.checkpoints} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return schema.Errorf(schema.CodeUnavailable, "the data directory could not be made: %w", err)
		}
	}
	return nil
}

// rootKey and apiKey are where the private halves are kept.
func (e env) rootKey() custody.Key {
	return custody.New("root-key", e.RootKey, filepath.Join(e.keys, "root.wrapped"))
}

func (e env) apiKey() custody.Key {
	return custody.New("api-key", e.APIKey, filepath.Join(e.keys, "api.wrapped"))
}

func (e env) controlURL() string {
	if !e.Postgres.IsZero() {
		return string(e.Postgres.Reveal())
	}
	return "sqlite:" + filepath.Join(e.control, "control.db")
}

// openControl opens the control database for a tool, which makes none: what it
// records would stand where nobody looks.
func (e env) openControl(ctx context.Context) (*store.Control, error) {
	if e.Postgres.IsZero() {
		if _, err := os.Stat(filepath.Join(e.control, "control.db")); err != nil {
			return nil, schema.Errorf(schema.CodeNotFound, "there is no control database in the data directory: %w", err).
				Advise("Give the settings that the platform runs with: --data, and TENON_POSTGRES_URL where it is on PostgreSQL.")
		}
	}
	return store.OpenControl(ctx, e.controlURL())
}

func (e env) admin() store.Admin {
	return store.Admin{Directory: e.cells, PostgresURL: string(e.Postgres.Reveal())}
}

// binaries is the directory of this binary, where its siblings are.
func binaries() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", schema.Errorf(schema.CodeInternal, "this binary does not know where it is: %w", err)
	}
	return filepath.Dir(path), nil
}

// sibling is another binary of the same build.
func sibling(name string) (string, error) {
	dir, err := binaries()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		return "", schema.Errorf(schema.CodeUnavailable, "%s is not beside this binary", name).Advise("Build all of them: make build")
	}
	return path, nil
}
