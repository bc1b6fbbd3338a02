package keystore_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
)

// Floors only go up, whoever writes them at once, and go with the keys.
func TestFloors(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keystore")
	s, err := keystore.Open(dir)
	require.NoError(t, err)
	root, err := seal.NewPrivateKey()
	require.NoError(t, err)
	api, err := seal.NewPrivateKey()
	require.NoError(t, err)
	org := schema.NewID(schema.PrefixOrganization)
	raise := func(connection string, lowest, entered int) error {
		return s.RaiseFloors(t.Context(), org, map[string]config.Floor{connection: {Lowest: lowest, Entered: entered}})
	}
	require.Equal(t, schema.CodeNotFound, schema.CodeOf(raise("a", 1, 1)), "without keys")
	entry, err := keystore.Generate(org, root.Public(), api.Public())
	require.NoError(t, err)
	require.NoError(t, s.Put(t.Context(), entry))
	none, err := s.Floors(t.Context(), org)
	require.NoError(t, err)
	require.Empty(t, none)

	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() { assert.NoError(t, raise("a", i, 20-i)) })
		wg.Go(func() { assert.NoError(t, raise("b", 3, i)) })
	}
	wg.Wait()
	require.NoError(t, raise("a", 1, 1))
	again, err := keystore.Open(dir)
	require.NoError(t, err)
	known, err := again.Floors(t.Context(), org)
	require.NoError(t, err)
	require.Equal(t, map[string]config.Floor{"a": {Lowest: 19, Entered: 20}, "b": {Lowest: 3, Entered: 19}}, known)
	listed, err := s.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{org}, listed)

	// Another organization's, a changed and a readable file are refused.
	path := filepath.Join(dir, org+".floors")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	other := schema.NewID(schema.PrefixOrganization)
	require.NoError(t, os.WriteFile(filepath.Join(dir, other+".floors"), text, 0o600))
	_, err = s.Floors(t.Context(), other)
	require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
	require.NoError(t, os.WriteFile(path, text[:len(text)/2], 0o600))
	_, err = s.Floors(t.Context(), org)
	require.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
	require.Error(t, raise("a", 30, 30), "what cannot be read is not written over")

	require.NoError(t, s.Delete(t.Context(), org))
	_, err = os.Stat(path)
	require.ErrorIs(t, err, os.ErrNotExist)
}
