package custody_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
)

// TestOneRotationAtATime: a second one, at any step of the first, changes nothing.
func TestOneRotationAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pair.key")
	s := newSite(t, keystore.SideRoot, path, path)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	running := s.fresh()
	r, err := s.rotation(func(string) {
		s.opens(running, s.former)
		second, err := s.rotation(func(step string) { require.Fail(t, "done", step) })
		require.NoError(t, err)
		err = second.Run(t.Context())
		require.Equal(t, schema.CodeConflict, schema.CodeOf(err), "%v", err)
	})
	require.NoError(t, err)
	require.NoError(t, r.Run(t.Context()))
	s.replaced(running, bytes.TrimSpace(before))
}

// TestNoOtherHalfIsTakenForTheNext: a rotation that would end with entries which no
// key that is left opens is refused, and the private half stays.
func TestNoOtherHalfIsTakenForTheNext(t *testing.T) {
	refused := func(s *site, code schema.Code) {
		s.Helper()
		before, err := os.ReadFile(s.From)
		require.NoError(s, err)
		r, err := s.rotation(func(string) {})
		require.NoError(s, err)
		err = r.Run(s.Context())
		require.Equal(s, code, schema.CodeOf(err), "%v", err)
		after, err := os.ReadFile(s.From)
		require.NoError(s, err)
		require.Equal(s, before, after)
	}
	site := func(t *testing.T) *site {
		t.Helper()
		path := filepath.Join(t.TempDir(), "pair.key")
		return newSite(t, keystore.SideRoot, path, path)
	}
	t.Run("begun for elsewhere", func(t *testing.T) {
		s := site(t)
		s.killed("an entry is wrapped to the next pair#1")
		s.To = filepath.Join(t.TempDir(), "to.key")
		refused(s, schema.CodeConflict)
		require.NoFileExists(t, s.To)
		s.To = s.From
		r, err := s.rotation(func(string) {})
		require.NoError(t, err)
		require.NoError(t, r.Run(t.Context()))
	})
	t.Run("gone on with from another half", func(t *testing.T) {
		s := site(t)
		s.killed("an entry is wrapped to the next pair#1")
		kept := s.From
		s.From = filepath.Join(t.TempDir(), "older.key")
		_, err := keystore.EnsurePair(s.From)
		require.NoError(t, err)
		refused(s, schema.CodeConflict)
		s.From = kept
		r, err := s.rotation(func(string) {})
		require.NoError(t, err)
		require.NoError(t, r.Run(t.Context()))
	})
	t.Run("with an old copy", func(t *testing.T) {
		s := site(t)
		text, err := os.ReadFile(s.From)
		require.NoError(t, err)
		r, err := s.rotation(func(string) {})
		require.NoError(t, err)
		require.NoError(t, r.Run(t.Context()))
		public, err := keystore.LoadPublic(s.Public)
		require.NoError(t, err)
		s.From = filepath.Join(t.TempDir(), "copy.key")
		s.To = s.From
		require.NoError(t, keystore.WriteSecretFile(s.From, text))
		refused(s, schema.CodeUnavailable)
		after, err := keystore.LoadPublic(s.Public)
		require.NoError(t, err)
		require.Equal(t, public, after)
	})
	t.Run("with an entry from elsewhere", func(t *testing.T) {
		s := site(t)
		foreign, err := seal.NewPrivateKey()
		require.NoError(t, err)
		e, err := keystore.Generate(schema.NewID(schema.PrefixOrganization), foreign.Public(), s.other.Public())
		require.NoError(t, err)
		require.NoError(t, s.store.Put(t.Context(), e))
		refused(s, schema.CodeConflict)
		refused(s, schema.CodeConflict)
	})
}
