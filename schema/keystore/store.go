package keystore

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
)

const (
	suffix = ".json"
	// entryLimit bounds a file of the store.
	entryLimit = 1 << 20
	// entryVersion is the version of a file's format.
	entryVersion = 1
)

// document is an entry as it stands in its file.
type document struct {
	Version int `json:"version"`
	Entry
}

// Store is a directory with one file per organization. Reads may run beside
// writes; one process, the host, writes.
type Store struct{ dir string }

// Open opens the store, and makes it when it is missing. A directory that other
// users may enter is refused.
func Open(dir string) (*Store, error) {
	if err := keyfile.EnsureDirectory(dir); err != nil {
		return nil, err
	}
	return &Store{dir: dir}, nil
}

// Put writes an entry, in place of the one before; it is on disk, whole, when
// Put returns.
func (s *Store) Put(ctx context.Context, e Entry) error {
	text, err := encode(ctx, e)
	if err != nil {
		return err
	}
	return keyfile.Replace(s.path(e.Organization), text, 0o600)
}

// Create writes an entry unless the organization has one; created tells which.
// Of several that create it at once, one does: keys are never made twice.
func (s *Store) Create(ctx context.Context, e Entry) (created bool, err error) {
	text, err := encode(ctx, e)
	if err != nil {
		return false, err
	}
	return keyfile.Create(s.path(e.Organization), text, 0o600)
}

func encode(ctx context.Context, e Entry) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, schema.Errorf(schema.CodeTimeout, "the key store was not written: %w", err)
	}
	if err := schema.CheckID(schema.PrefixOrganization, e.Organization); err != nil {
		return nil, err
	}
	if err := e.whole(); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(document{Version: entryVersion, Entry: e}, "", "  ")
	if err != nil {
		return nil, schema.Errorf(schema.CodeInternal, "an entry of the key store does not encode: %w", err)
	}
	return append(text, '\n'), nil
}

// Get reads an organization's entry; CodeNotFound when there is none.
func (s *Store) Get(ctx context.Context, org string) (Entry, error) {
	if err := ctx.Err(); err != nil {
		return Entry{}, schema.Errorf(schema.CodeTimeout, "the key store was not read: %w", err)
	}
	if err := schema.CheckID(schema.PrefixOrganization, org); err != nil {
		return Entry{}, err
	}
	text, err := keyfile.ReadPrivate(s.path(org), entryLimit)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return Entry{}, schema.Errorf(schema.CodeNotFound, "organization %s has no keys", org)
	}
	if err != nil {
		return Entry{}, err
	}
	e, err := parse(text)
	if err != nil {
		return Entry{}, err
	}
	// A file that was renamed is another organization's entry (invariant 2).
	if e.Organization != org {
		return Entry{}, schema.Errorf(schema.CodeRefused, "the key store's file of %s holds another organization's keys", org)
	}
	return e, nil
}

// Delete destroys an organization's keys, and with them all that they sealed.
// There being none is no error.
func (s *Store) Delete(ctx context.Context, org string) error {
	if err := ctx.Err(); err != nil {
		return schema.Errorf(schema.CodeTimeout, "the key store was not changed: %w", err)
	}
	if err := schema.CheckID(schema.PrefixOrganization, org); err != nil {
		return err
	}
	err := keyfile.Destroy(s.path(org))
	if schema.CodeOf(err) == schema.CodeNotFound {
		return nil
	}
	return err
}

// List returns the organizations that have keys, sorted.
func (s *Store) List(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, schema.Errorf(schema.CodeTimeout, "the key store was not read: %w", err)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the key store could not be read: %w", err)
	}
	var orgs []string
	for _, entry := range entries {
		org, ok := strings.CutSuffix(entry.Name(), suffix)
		if ok && schema.CheckID(schema.PrefixOrganization, org) == nil {
			orgs = append(orgs, org)
		}
	}
	return orgs, nil
}

// path is safe: org has passed CheckID.
func (s *Store) path(org string) string { return filepath.Join(s.dir, org+suffix) }

// parse reads a file of the store, strictly.
func parse(text []byte) (Entry, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var doc document
	if err := d.Decode(&doc); err != nil {
		return Entry{}, schema.Errorf(schema.CodeInvalid, "a file of the key store does not parse")
	}
	if _, err := d.Token(); err != io.EOF {
		return Entry{}, schema.Errorf(schema.CodeInvalid, "a file of the key store goes on after its end")
	}
	if doc.Version != entryVersion {
		return Entry{}, schema.Errorf(schema.CodeConflict, "a file of the key store is of version %d, and this program knows %d", doc.Version, entryVersion).
			Advise("Use a newer version of this program.")
	}
	return doc.Entry, doc.whole()
}
