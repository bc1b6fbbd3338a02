package host

import (
	"crypto/sha256"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
)

// Entry is an installed connector: what it says of itself, and the program that
// was pinned for it.
type Entry struct {
	Manifest sdk.Manifest
	Path     string
	// Args follow the program's name.
	Args   []string
	SHA256 [sha256.Size]byte
}

// NewEntry pins the program at path as it is now.
func NewEntry(m sdk.Manifest, path string, args ...string) (Entry, error) {
	f, _, err := openProgram(path)
	if err != nil {
		return Entry{}, err
	}
	defer func() { _ = f.Close() }()
	sum, err := digest(f)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Manifest: m, Path: path, Args: args, SHA256: sum}, nil
}

// Catalog knows the installed connectors. It does not change.
type Catalog struct{ entries map[string]Entry }

// NewCatalog makes a catalog of entries, by the names of their manifests.
func NewCatalog(entries ...Entry) *Catalog {
	c := &Catalog{entries: make(map[string]Entry, len(entries))}
	for _, e := range entries {
		c.entries[e.Manifest.Name] = e
	}
	return c
}

// Get gives the connector of that name.
func (c *Catalog) Get(name string) (Entry, bool) {
	e, ok := c.entries[name]
	return e, ok
}

// settled is how long a program must have rested before it is hashed: more than
// the coarsest clock of a file system, so that a write after the hash shows in
// the time of change.
const settled = 20 * time.Millisecond

// identity is what the kernel changes with every write to a file.
type identity struct {
	dev, ino uint64
	size     int64
	changed  unix.Timespec
}

func identify(f *os.File) (identity, os.FileMode, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return identity{}, 0, schema.Errorf(schema.CodeUnavailable, "the program cannot be examined: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return identity{}, 0, schema.Errorf(schema.CodeRefused, "the program is not a regular file")
	}
	return identity{dev: st.Dev, ino: st.Ino, size: st.Size, changed: st.Ctim}, os.FileMode(st.Mode & 0o777), nil
}

// openProgram opens a program for hashing and execution by descriptor.
func openProgram(path string) (*os.File, identity, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, identity{}, schema.Errorf(schema.CodeUnavailable, "the connector's program cannot be opened: %w", err)
	}
	id, mode, err := identify(f)
	if err == nil && mode&0o022 != 0 {
		err = schema.Errorf(schema.CodeRefused, "the connector's program may be written by others than its owner").
			Advise("chmod go-w the program; a connector's program must not be writable by the service")
	}
	if err != nil {
		_ = f.Close()
		return nil, identity{}, err
	}
	return f, id, nil
}

func digest(f *os.File) ([sha256.Size]byte, error) {
	var sum [sha256.Size]byte
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, 1<<40)); err != nil {
		return sum, schema.Errorf(schema.CodeUnavailable, "the connector's program cannot be read: %w", err)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// verifier hashes programs, each content once.
type verifier struct {
	mu    sync.Mutex
	known map[identity][sha256.Size]byte
	now   func() time.Time
}

// open opens the entry's program and proves that it is the pinned one. The
// caller executes the descriptor and then asks unchanged: an execution succeeds
// only while nobody has the file open for writing, and then keeps it so.
func (v *verifier) open(e Entry) (*os.File, identity, error) {
	f, id, err := openProgram(e.Path)
	if err != nil {
		return nil, identity{}, err
	}
	sum, err := v.sum(f, id)
	if err == nil && sum != e.SHA256 {
		err = schema.Errorf(schema.CodeRefused, "the program of connector %s is not the one that was pinned", e.Manifest.Name).
			Advise("install the pinned version again, or pin the new one")
	}
	if err != nil {
		_ = f.Close()
		return nil, identity{}, err
	}
	return f, id, nil
}

func (v *verifier) sum(f *os.File, id identity) ([sha256.Size]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if sum, ok := v.known[id]; ok {
		return sum, nil
	}
	if age := v.now().Sub(time.Unix(id.changed.Unix())); age < settled {
		return [sha256.Size]byte{}, schema.Errorf(schema.CodeUnavailable, "the connector's program is being changed")
	}
	sum, err := digest(f)
	if err != nil {
		return sum, err
	}
	if err := unchanged(f, id); err != nil {
		return sum, err
	}
	v.known[id] = sum
	return sum, nil
}

// unchanged tells whether the file is what it was. A new link to it or another mode
// shows like another content does: the next start hashes it again, and tells them apart.
func unchanged(f *os.File, id identity) error {
	now, _, err := identify(f)
	if err != nil {
		return err
	}
	if now != id {
		return schema.Errorf(schema.CodeUnavailable, "the connector's program was changed while it was started")
	}
	return nil
}
