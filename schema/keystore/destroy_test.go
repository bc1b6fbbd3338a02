package keystore_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
)

// TestDeleteLeavesNoCopy: what a host that was killed while it wrote a file has
// left of the organization's keys goes with them; another's stays.
func TestDeleteLeavesNoCopy(t *testing.T) {
	p := newPairs(t)
	dir := filepath.Join(t.TempDir(), "keys")
	s, err := keystore.Open(dir)
	require.NoError(t, err)
	mine, theirs := p.entry(t), p.entry(t)
	for _, e := range []keystore.Entry{mine, theirs} {
		require.NoError(t, s.Put(t.Context(), e))
		text, err := os.ReadFile(filepath.Join(dir, e.Organization+".json"))
		require.NoError(t, err)
		for _, part := range []int{len(text), len(text) / 2} {
			f, err := os.CreateTemp(dir, keyfile.Staged)
			require.NoError(t, err)
			_, err = f.Write(text[:part])
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}
	}
	// A file that is open still holds nothing of the keys afterwards.
	open, err := os.Open(filepath.Join(dir, mine.Organization+".json"))
	require.NoError(t, err)
	defer func() { _ = open.Close() }()
	for range 2 {
		require.NoError(t, s.Delete(t.Context(), mine.Organization))
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 4, "the other's, and the lock")
	for _, entry := range left {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		require.NoError(t, err)
		require.NotContains(t, string(text), mine.Organization)
	}
	info, err := open.Stat()
	require.NoError(t, err)
	was := make([]byte, info.Size())
	_, err = open.ReadAt(was, 0)
	require.NoError(t, err)
	require.Equal(t, make([]byte, info.Size()), was, "it was overwritten")
}

// TestKilledWhileItCreated: a process that was killed after a new entry had got its
// name, and before the name under which it was written was taken away, has left one
// file with two names. What tidies up behind it leaves the keys.
func TestKilledWhileItCreated(t *testing.T) {
	p := newPairs(t)
	dir := filepath.Join(t.TempDir(), "keys")
	s, err := keystore.Open(dir)
	require.NoError(t, err)
	e := p.entry(t)
	require.NoError(t, s.Create(t.Context(), e.Organization, func() (keystore.Entry, error) { return e, nil }))
	entry := filepath.Join(dir, e.Organization+".json")
	staged := filepath.Join(dir, strings.Replace(keyfile.Staged, "*", "1", 1))
	require.NoError(t, os.Link(entry, staged))
	require.NoError(t, s.Update(t.Context(), e.Organization, func(*keystore.Entry) error { return nil }))
	got, err := s.Get(t.Context(), e.Organization)
	require.NoError(t, err)
	require.Equal(t, e, got)
	require.NoFileExists(t, staged)

	require.NoError(t, os.Link(entry, staged))
	other := filepath.Join(t.TempDir(), "other")
	require.NoError(t, os.Link(entry, other))
	require.NoError(t, s.Delete(t.Context(), e.Organization))
	require.NoFileExists(t, entry)
	require.NoFileExists(t, staged)
	text, err := os.ReadFile(other)
	require.NoError(t, err)
	require.Equal(t, make([]byte, len(text)), text, "it was overwritten")
}
