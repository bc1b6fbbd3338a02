package keystore

import (
	"bytes"
	"os"
	"path/filepath"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
)

// destroy overwrites and removes the organization's files, and what was left
// beside them. It runs under the directory's lock: nobody is writing now.
func (s *Store) destroy(org string) error {
	if err := s.sweep(org); err != nil {
		return err
	}
	for _, path := range []string{s.path(org), s.floorsPath(org)} {
		if err := keyfile.Destroy(path); err != nil && schema.CodeOf(err) != schema.CodeNotFound {
			return err
		}
	}
	return nil
}

// sweep overwrites and removes what a process that was killed while it wrote a
// file of the organization has left beside it: keys that are destroyed since are
// in it. It runs under the directory's lock.
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
		if bytes.Contains(text, []byte(org)) {
			if err := keyfile.Destroy(path); err != nil {
				return err
			}
		}
	}
	return nil
}
