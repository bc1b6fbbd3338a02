package keyfile_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
)

func refused(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	assert.Equal(t, schema.CodeRefused, schema.CodeOf(err))
}

func TestReadJudgesWhatItOpened(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	require.NoError(t, keyfile.Replace(path, []byte("canary"), 0o600))
	text, err := keyfile.ReadPrivate(path, 6)
	require.NoError(t, err)
	assert.Equal(t, "canary", string(text))
	_, err = keyfile.ReadPrivate(path, 5)
	assert.Equal(t, schema.CodeTooLarge, schema.CodeOf(err))
	assert.NotContains(t, err.Error(), "canary")

	// A link is as good as what it leads to.
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(path, link))
	_, err = keyfile.ReadPrivate(link, 100)
	require.NoError(t, err)
	require.NoError(t, os.Chmod(path, 0o644))
	_, err = keyfile.ReadPrivate(link, 100)
	refused(t, err)
	_, err = keyfile.ReadPublic(link, 100)
	require.NoError(t, err)

	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	_, err = keyfile.ReadPrivate(fifo, 100)
	refused(t, err)
	_, err = keyfile.ReadPrivate(dir, 100)
	refused(t, err)
	_, err = keyfile.ReadPrivate(filepath.Join(dir, "none"), 100)
	assert.Equal(t, schema.CodeNotFound, schema.CodeOf(err))
}

// A file of another user can be given to nobody but by root, so only root sees
// this one refused; for others the attempt itself is.
func TestFilesOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	require.NoError(t, keyfile.Replace(path, []byte("x"), 0o600))
	if err := os.Chown(path, 12345, 12345); err != nil {
		require.ErrorIs(t, err, os.ErrPermission)
		return
	}
	_, err := keyfile.ReadPrivate(path, 100)
	refused(t, err)
	_, err = keyfile.ReadPublic(path, 100)
	refused(t, err)
}

func TestCreateLeavesWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	created, err := keyfile.Create(path, []byte("first"), 0o600)
	require.NoError(t, err)
	assert.True(t, created)
	created, err = keyfile.Create(path, []byte("second"), 0o600)
	require.NoError(t, err)
	assert.False(t, created)
	text, err := keyfile.ReadPrivate(path, 100)
	require.NoError(t, err)
	assert.Equal(t, "first", string(text))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, 1)
	_, err = keyfile.Create(filepath.Join(dir, "none", "key"), nil, 0o600)
	require.Error(t, err)
}

func TestDestroy(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "key"), filepath.Join(dir, "other")
	require.NoError(t, keyfile.Replace(path, []byte("canary"), 0o600))
	// Who has the file open, or a link to it, sees zeros.
	require.NoError(t, os.Link(path, other))
	require.NoError(t, keyfile.Destroy(path))
	text, err := os.ReadFile(other)
	require.NoError(t, err)
	assert.Equal(t, make([]byte, 6), text)
	assert.Equal(t, schema.CodeNotFound, schema.CodeOf(keyfile.Destroy(path)))

	link := filepath.Join(dir, "link")
	require.NoError(t, keyfile.Replace(path, []byte("canary"), 0o600))
	require.NoError(t, os.Symlink(path, link))
	refused(t, keyfile.Destroy(link))
	text, err = os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "canary", string(text))
}

func TestEnsureDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	require.NoError(t, keyfile.EnsureDirectory(dir))
	info, err := os.Stat(dir)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	require.NoError(t, os.Chmod(dir, 0o750))
	refused(t, keyfile.EnsureDirectory(dir))
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, keyfile.Replace(path, nil, 0o600))
	require.Error(t, keyfile.EnsureDirectory(path))
}
