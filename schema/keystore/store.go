package keystore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
)

const (
	suffix = ".json"
	// entryLimit bounds a file of the store.
	entryLimit = 1 << 20
	// entryVersion is the version of a file's format.
	entryVersion = 2
	// firstVersion had no audit keys and no states.
	firstVersion = 1
)

// document is an entry as it stands in its file.
type document struct {
	Version int `json:"version"`
	Entry
}

// Store is a directory with one file per organization. Reads may run beside
// writes. Hosts write, and the command that replaces a pair: each under the
// store's lock.
type Store struct {
	dir string

	mu sync.Mutex
	// successors are private keys that followed those this process was started
	// with, by side, oldest first.
	successors map[Side][]seal.PrivateKey
}

// Open opens the store, and makes it when it is missing. A directory that other
// users may enter is refused.
func Open(dir string) (*Store, error) {
	if err := keyfile.EnsureDirectory(dir); err != nil {
		return nil, err
	}
	return &Store{dir: dir, successors: make(map[Side][]seal.PrivateKey)}, nil
}

// Put writes an entry, in place of the one before; it is on disk, whole, when
// Put returns, and the one before is overwritten: a key that it alone had is
// destroyed.
func (s *Store) Put(ctx context.Context, e Entry) error {
	text, err := encode(ctx, e)
	if err != nil {
		return err
	}
	return keyfile.Supersede(s.path(e.Organization), text, 0o600)
}

// Update changes an organization's entry; what a process that was killed while it
// wrote one left beside it is destroyed. No other Update or Create runs at the
// same time, in this process or another; what change returns as an error leaves
// the entry as it is.
func (s *Store) Update(ctx context.Context, org string, change func(*Entry) error) error {
	return s.alone(ctx, func() error {
		if err := s.sweep(org); err != nil {
			return err
		}
		e, err := s.Get(ctx, org)
		if err != nil {
			return err
		}
		before, err := encode(ctx, e)
		if err != nil {
			return err
		}
		if err := change(&e); err != nil {
			return err
		}
		if after, err := encode(ctx, e); err != nil || bytes.Equal(before, after) {
			return err
		}
		return s.Put(ctx, e)
	})
}

// Create writes the entry that generate makes unless the organization has one.
// Of several that create it at once, one does: keys are never made twice.
func (s *Store) Create(ctx context.Context, org string, generate func() (Entry, error)) error {
	return s.alone(ctx, func() error {
		_, err := s.Get(ctx, org)
		if schema.CodeOf(err) != schema.CodeNotFound {
			return err
		}
		e, err := generate()
		if err != nil {
			return err
		}
		text, err := encode(ctx, e)
		if err != nil {
			return err
		}
		_, err = keyfile.Create(s.path(org), text, 0o600)
		return err
	})
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
	e, err := s.read(org)
	if schema.CodeOf(err) == schema.CodeInvalid {
		// It was superseded between being opened and being read.
		e, err = s.read(org)
	}
	if schema.CodeOf(err) == schema.CodeNotFound {
		return Entry{}, schema.Errorf(schema.CodeNotFound, "organization %s has no keys", org)
	}
	if err != nil {
		return Entry{}, err
	}
	// A file that was renamed is another organization's entry (invariant 2).
	if e.Organization != org {
		return Entry{}, schema.Errorf(schema.CodeRefused, "the key store's file of %s holds another organization's keys", org)
	}
	return e, nil
}

// Mark changes whenever the organization's entry does; it costs no reading.
// CodeNotFound when there is none.
func (s *Store) Mark(org string) (string, error) {
	if err := schema.CheckID(schema.PrefixOrganization, org); err != nil {
		return "", err
	}
	info, err := os.Stat(s.path(org))
	if errors.Is(err, os.ErrNotExist) {
		return "", schema.Errorf(schema.CodeNotFound, "organization %s has no keys", org)
	}
	if err != nil {
		return "", schema.Errorf(schema.CodeUnavailable, "the key store could not be read: %w", err)
	}
	mark := strconv.FormatInt(info.ModTime().UnixNano(), 36)
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		mark += "." + strconv.FormatUint(st.Ino, 36)
	}
	return mark, nil
}

func (s *Store) read(org string) (Entry, error) {
	text, err := keyfile.ReadPrivate(s.path(org), entryLimit)
	if err != nil {
		return Entry{}, err
	}
	return parse(text)
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
	return s.alone(ctx, func() error { return s.destroy(org) })
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
	if doc.Version != entryVersion && doc.Version != firstVersion {
		return Entry{}, schema.Errorf(schema.CodeConflict, "a file of the key store is of version %d, and this program knows %d", doc.Version, entryVersion).
			Advise("Use a newer version of this program.")
	}
	return doc.Entry, doc.whole()
}
