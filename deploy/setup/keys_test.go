package main

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withKeys is a setup after its first run, with the real "tenon init" over SQLite.
func withKeys(t *testing.T) setup {
	t.Helper()
	tenon, err := filepath.Abs(filepath.Join("..", "..", "bin", "tenon"))
	require.NoError(t, err)
	_, err = os.Stat(tenon)
	require.NoError(t, err, "the binaries are not built: run `make test`, or `make build` first")
	s := setup{out: t.TempDir(), data: t.TempDir(), tenon: tenon, owner: -1}
	require.NoError(t, s.keys(t.Context()))
	return s
}

func (s setup) path(service, name string) string { return filepath.Join(s.out, service, name) }

// The root key is the host's alone, the API key the API's: there is no copy, not
// where "tenon init" works either.
func TestEachServiceHasItsKeys(t *testing.T) {
	s := withKeys(t)
	all := files(t, s.out)
	assert.ElementsMatch(t, []string{
		s.path("api", "api.key"), s.path("api", "api.pub"), s.path("api", "root.pub"), s.path("api", "engine-token.pub"),
		s.path("engine", "engine-token.pub"),
		s.path("host", "root.key"), s.path("host", "root.pub"), s.path("host", "api.pub"), s.path("host", "engine-token.key"),
		s.path("host", "engine-token.pub"), s.path("host", "checkpoint.key"), s.path("host", "checkpoint.pub"),
	}, slices.Collect(maps.Keys(all)))
	for path, text := range files(t, s.data) {
		assert.NotEqual(t, all[s.path("host", "root.key")], text, path)
		assert.NotEqual(t, all[s.path("api", "api.key")], text, path)
	}
	require.NoError(t, s.keys(t.Context()))
	assert.Equal(t, all, files(t, s.out), "a second run changes nothing")
}

// A pair that was replaced where a service has it stays. The copies of its public
// half follow, in the files that there are: a confined process reads no others.
func TestReplacedKeysStay(t *testing.T) {
	s, another := withKeys(t), withKeys(t)
	copied, err := os.Open(s.path("host", "api.pub"))
	require.NoError(t, err)
	defer func() { require.NoError(t, copied.Close()) }()
	for _, p := range held {
		for _, name := range []string{p.name + ".key", p.name + ".pub"} {
			require.NoError(t, os.WriteFile(s.path(p.service, name), another.text(p.service, name), 0o600))
		}
	}
	for range 2 {
		require.NoError(t, s.keys(t.Context()))
		for path, text := range files(t, another.out) {
			rel, err := filepath.Rel(another.out, path)
			require.NoError(t, err)
			assert.Equal(t, text, string(s.text(rel)), rel)
		}
	}
	text, err := io.ReadAll(copied)
	require.NoError(t, err)
	assert.Equal(t, string(another.text("api", "api.pub")), string(text), "read through the file of before")
}

// In the midst of a replacement the public half is ahead of the private one.
func TestThePublicHalfOfAReplacementStays(t *testing.T) {
	s, next := withKeys(t), withKeys(t).text("api", "api.pub")
	require.NoError(t, os.WriteFile(s.path("api", "api.pub"), next, 0o600))
	require.NoError(t, s.keys(t.Context()))
	assert.Equal(t, string(next), string(s.text("api", "api.pub")))
	assert.Equal(t, string(next), string(s.text("host", "api.pub")))
}

// What a service lacks it is given, but no other root or API key than the one that
// is lost: all that was wrapped to it would seem to be there.
func TestMissingKeys(t *testing.T) {
	s := withKeys(t)
	before := files(t, s.out)
	for _, path := range []string{s.path("api", "api.pub"), s.path("host", "engine-token.key"), s.path("engine", "engine-token.pub")} {
		require.NoError(t, os.Remove(path))
	}
	require.NoError(t, s.keys(t.Context()))
	assert.Equal(t, before, files(t, s.out))

	// As docs/operations.md has the checkpoint key replaced.
	require.NoError(t, os.Remove(s.path("host", "checkpoint.key")))
	require.NoError(t, os.Remove(filepath.Join(s.data, "keys", "checkpoint.key")))
	require.NoError(t, s.keys(t.Context()))
	assert.NotEqual(t, before[s.path("host", "checkpoint.key")], string(s.text("host", "checkpoint.key")))
	public := string(s.text("host", "checkpoint.pub"))
	assert.Contains(t, public, strings.TrimSpace(before[s.path("host", "checkpoint.pub")]))
	assert.Equal(t, 2, strings.Count(public, "\n"))

	for _, path := range []string{s.path("host", "root.key"), s.path("api", "api.key")} {
		require.NoError(t, os.Rename(path, path+".lost"))
		require.Error(t, s.keys(t.Context()))
		assert.NoFileExists(t, path)
		require.NoError(t, os.Rename(path+".lost", path))
	}
}
