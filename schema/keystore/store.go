package keystore

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tenonhq/tenon/schema"
)

const suffix = ".json"

// Store is a directory with one file per cell.
type Store struct{ dir string }

// Open opens the key store in a directory, which it makes with mode 0700. A
// directory that others may enter is refused.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the key store's directory could not be made: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the key store's directory could not be read: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, schema.Errorf(schema.CodeRefused, "the key store's directory is open to others").Advise("chmod 700 " + dir)
	}
	return &Store{dir}, nil
}

func (s *Store) path(organization string) (string, error) {
	if err := schema.CheckID(schema.PrefixOrganization, organization); err != nil {
		return "", err
	}
	return filepath.Join(s.dir, organization+suffix), nil
}

// Put writes an entry so that a crash leaves the old one or the new one whole.
func (s *Store) Put(_ context.Context, e Entry) error {
	path, err := s.path(e.Organization)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "a key store entry does not encode: %w", err)
	}
	return writeFile(path, append(text, '\n'))
}

// Get returns an entry; CodeNotFound when there is none.
func (s *Store) Get(_ context.Context, organization string) (Entry, error) {
	path, err := s.path(organization)
	if err != nil {
		return Entry{}, err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, schema.Errorf(schema.CodeNotFound, "the key store has no entry for the organization")
	}
	if err != nil {
		return Entry{}, schema.Errorf(schema.CodeUnavailable, "the key store could not be read: %w", err)
	}
	var e Entry
	if err := json.Unmarshal(text, &e); err != nil {
		return Entry{}, schema.Errorf(schema.CodeInternal, "a key store entry does not parse: %w", err)
	}
	if e.Organization != organization {
		return Entry{}, schema.Errorf(schema.CodeRefused, "a key store entry is of another organization than its name says")
	}
	return e, nil
}

// Delete destroys an entry; one that is not there is no error.
func (s *Store) Delete(_ context.Context, organization string) error {
	path, err := s.path(organization)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return schema.Errorf(schema.CodeUnavailable, "a key store entry could not be removed: %w", err)
	}
	return syncDir(s.dir)
}

// List returns the organizations that have an entry, sorted.
func (s *Store) List(context.Context) ([]string, error) {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the key store could not be read: %w", err)
	}
	var out []string
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), suffix); ok && schema.CheckID(schema.PrefixOrganization, name) == nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// writeFile replaces a file of mode 0600 atomically and durably.
func writeFile(path string, content []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "a key file could not be written: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "a key file could not be written: %w", err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "a key directory could not be opened: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "a key directory could not be synced: %w", err)
	}
	return nil
}
