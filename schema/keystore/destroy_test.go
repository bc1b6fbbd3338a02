package keystore_test

import (
	"os"
	"path/filepath"
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
	require.Len(t, left, 3)
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
