package keystore

import (
	"bytes"
	"os"
	"path/filepath"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
)

// destroy overwrites and removes the organization's files, and what was left
// beside them. It runs under the store's lock: nobody is writing now.
func (s *Store) destroy(org string) error {
	if err := s.sweep(org); err != nil {
		return err
	}
	for _, path := range []string{s.path(org), s.floorsPath(org)} {
		if err := keyfile.DestroyAny(path); err != nil {
			return err
		}
	}
	return nil
}

// sweep overwrites and removes what a process that was killed while it wrote a
// file of the organization has left beside it: keys that are destroyed since are
// in it. It runs under the store's lock.
func (s *Store) sweep(org string) error {
	left, err := filepath.Glob(filepath.Join(s.dir, keyfile.Staged))
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "the key store could not be read: %w", err)
	}
	for _, path := range left {
		text, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			return schema.Errorf(schema.CodeUnavailable, "a file of the key store could not be read: %w", err)
		}
		// The id stands before the keys in a file that was cut short, too.
		if !bytes.Contains(text, []byte(org)) {
			continue
		}
		if err := s.discard(path, org); err != nil {
			return err
		}
	}
	return nil
}

// discard destroys a staged file. One that was being created when its process was
// killed may have got its name already and be the entry itself, under two names:
// the keys in it live, and only the name goes.
func (s *Store) discard(path, org string) error {
	staged, err := os.Lstat(path)
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "a file of the key store could not be read: %w", err)
	}
	entry, err := os.Lstat(s.path(org))
	if err != nil && !os.IsNotExist(err) {
		return schema.Errorf(schema.CodeUnavailable, "the key store could not be read: %w", err)
	}
	if err != nil || !os.SameFile(staged, entry) {
		return keyfile.Destroy(path)
	}
	if err := os.Remove(path); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "a file of the key store could not be removed: %w", err)
	}
	return nil
}
