package keystore_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
)

type pairs struct{ root, api seal.PrivateKey }

func newPairs(t testing.TB) pairs {
	t.Helper()
	root, err := seal.NewPrivateKey()
	require.NoError(t, err)
	api, err := seal.NewPrivateKey()
	require.NoError(t, err)
	return pairs{root, api}
}

func (p pairs) entry(t testing.TB) keystore.Entry {
	t.Helper()
	e, err := keystore.Generate(schema.NewID(schema.PrefixOrganization), p.root.Public(), p.api.Public())
	require.NoError(t, err)
	return e
}

func wrap(t testing.TB, to seal.PublicKey, org, name, url string) []byte {
	t.Helper()
	wrapped, err := seal.WrapKey(to, seal.Wrap{Organization: org, Purpose: keystore.DatabasePurpose(name)}, []byte(url))
	require.NoError(t, err)
	return wrapped
}

func TestEachSideOpensItsOwn(t *testing.T) {
	p := newPairs(t)
	e := p.entry(t)
	e.Databases = map[string]keystore.Database{
		keystore.DatabaseAPI:  {ToAPI: wrap(t, p.api.Public(), e.Organization, keystore.DatabaseAPI, "postgres://api")},
		keystore.DatabaseCell: {ToRoot: wrap(t, p.root.Public(), e.Organization, keystore.DatabaseCell, "postgres://cell")},
	}
	api, err := e.OpenForAPI(p.api)
	require.NoError(t, err)
	host, err := e.OpenForHost(p.root)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"api": "postgres://api"}, api.Databases)
	assert.Equal(t, map[string]string{"cell": "postgres://cell"}, host.Databases)
	assert.Equal(t, host.Private[0].Public(), api.CredentialPublic)
	place := seal.Place{Organization: e.Organization}
	plain, err := seal.NewDataKeys(host.DataKeys[0]).Open(place, api.DataKeys.Seal(place, []byte("x")))
	require.NoError(t, err)
	assert.Equal(t, "x", string(plain))

	// Invariant 1: the API's key opens no credential key, the root key of
	// another platform nothing.
	_, err = e.OpenForHost(p.api)
	assert.Equal(t, schema.CodeRefused, schema.CodeOf(err))
	_, err = e.OpenForAPI(p.root)
	assert.Equal(t, schema.CodeRefused, schema.CodeOf(err))
	_, err = e.OpenForHost(newPairs(t).root)
	assert.Equal(t, schema.CodeRefused, schema.CodeOf(err))
}

func TestGenerateRefuses(t *testing.T) {
	p := newPairs(t)
	_, err := keystore.Generate(schema.NewID(schema.PrefixOrganization), p.root.Public(), p.root.Public())
	assert.Equal(t, schema.CodeInvalid, schema.CodeOf(err), "one key for both")
	_, err = keystore.Generate("../x", p.root.Public(), p.api.Public())
	assert.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
}

// Who writes to the key store's directory has credentials sealed to no key of his own.
func TestChangedEntries(t *testing.T) {
	p := newPairs(t)
	attacker, err := seal.NewPrivateKey()
	require.NoError(t, err)
	theirs := p.entry(t)
	for name, change := range map[string]func(*keystore.Entry){
		"public key of the attacker": func(e *keystore.Entry) { e.Credentials[0].Public = attacker.Public() },
		"pair of the attacker": func(e *keystore.Entry) {
			wrapped, err := seal.WrapKey(p.root.Public(), seal.Wrap{Organization: e.Organization, Purpose: "credential key"}, attacker.Reveal())
			require.NoError(t, err)
			e.Credentials[0] = keystore.CredentialPair{Public: attacker.Public(), PrivateToRoot: wrapped}
		},
		"one more pair":               func(e *keystore.Entry) { e.Credentials = append(e.Credentials, e.Credentials[0]) },
		"another organization's pair": func(e *keystore.Entry) { e.Credentials = theirs.Credentials },
		"another organization's data": func(e *keystore.Entry) { e.DataKeys = theirs.DataKeys },
		"another organization":        func(e *keystore.Entry) { e.Organization = theirs.Organization },
		"sides swapped":               func(e *keystore.Entry) { d := &e.DataKeys[0]; d.ToRoot, d.ToAPI = d.ToAPI, d.ToRoot },
		"credential key as data key": func(e *keystore.Entry) {
			e.DataKeys[0].ToRoot, e.DataKeys[0].ToAPI = e.Credentials[0].PrivateToRoot, nil
		},
		"another id":               func(e *keystore.Entry) { e.DataKeys[0].ID[0] ^= 1 },
		"no list of public keys":   func(e *keystore.Entry) { e.PublicSealed = nil },
		"no keys":                  func(e *keystore.Entry) { e.DataKeys = nil },
		"database of another name": func(e *keystore.Entry) { e.Databases["api"] = e.Databases["cell"] },
		"database of another purpose": func(e *keystore.Entry) {
			e.Databases["api"] = keystore.Database{ToRoot: e.DataKeys[0].ToRoot, ToAPI: e.DataKeys[0].ToAPI}
		},
		"list of another organization's": func(e *keystore.Entry) { e.PublicSealed = theirs.PublicSealed },
	} {
		t.Run(name, func(t *testing.T) {
			e := p.entry(t)
			e.Databases = map[string]keystore.Database{"cell": {
				ToRoot: wrap(t, p.root.Public(), e.Organization, "cell", "x"), ToAPI: wrap(t, p.api.Public(), e.Organization, "cell", "x"),
			}}
			change(&e)
			_, err := e.OpenForAPI(p.api)
			require.Error(t, err)
			_, err = e.OpenForHost(p.root)
			require.Error(t, err)
		})
	}
}

func TestStore(t *testing.T) {
	ctx, p := t.Context(), newPairs(t)
	dir := filepath.Join(t.TempDir(), "keys")
	s, err := keystore.Open(dir)
	require.NoError(t, err)
	e := p.entry(t)
	_, err = s.Get(ctx, e.Organization)
	assert.Equal(t, schema.CodeNotFound, schema.CodeOf(err))
	require.NoError(t, s.Put(ctx, e))
	got, err := s.Get(ctx, e.Organization)
	require.NoError(t, err)
	assert.Equal(t, e, got)

	file := filepath.Join(dir, e.Organization+".json")
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	second := p.entry(t)
	require.NoError(t, s.Put(ctx, second))
	orgs, err := s.List(ctx)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{e.Organization, second.Organization}, orgs)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, 2, "nothing half-written is left")

	// A file under another's name is refused (invariant 2).
	require.NoError(t, os.Rename(filepath.Join(dir, second.Organization+".json"), file))
	_, err = s.Get(ctx, e.Organization)
	assert.Equal(t, schema.CodeRefused, schema.CodeOf(err))

	require.NoError(t, s.Delete(ctx, e.Organization))
	require.NoError(t, s.Delete(ctx, e.Organization))
	_, err = os.Stat(file)
	require.ErrorIs(t, err, os.ErrNotExist)
	for _, bad := range []string{"", "../x", "org_", e.Organization + "/../x"} {
		_, err = s.Get(ctx, bad)
		assert.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
		assert.Equal(t, schema.CodeInvalid, schema.CodeOf(s.Delete(ctx, bad)))
	}
	assert.Error(t, s.Put(ctx, keystore.Entry{Organization: e.Organization}))
}

func TestStoreIsStrictAboutModes(t *testing.T) {
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "keys")
	s, err := keystore.Open(dir)
	require.NoError(t, err)
	e := newPairs(t).entry(t)
	require.NoError(t, s.Put(ctx, e))
	file := filepath.Join(dir, e.Organization+".json")
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o666} {
		require.NoError(t, os.Chmod(file, mode))
		_, err = s.Get(ctx, e.Organization)
		assert.Equal(t, schema.CodeRefused, schema.CodeOf(err), "%o", mode)
	}
	for _, mode := range []os.FileMode{0o750, 0o705, 0o777} {
		require.NoError(t, os.Chmod(dir, mode))
		_, err = keystore.Open(dir)
		assert.Equal(t, schema.CodeRefused, schema.CodeOf(err), "%o", mode)
	}
}

// A reader never sees half an entry.
func TestPutIsAtomic(t *testing.T) {
	ctx, p := t.Context(), newPairs(t)
	s, err := keystore.Open(t.TempDir() + "/keys")
	require.NoError(t, err)
	e := p.entry(t)
	require.NoError(t, s.Put(ctx, e))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				assert.NoError(t, s.Put(ctx, e)) //nolint:testifylint // Not the goroutine of the test.
				got, err := s.Get(ctx, e.Organization)
				assert.NoError(t, err) //nolint:testifylint // Not the goroutine of the test.
				assert.Equal(t, e, got)
			}
		})
	}
	wg.Wait()
}

func TestKeyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets", "root.key")
	var wg sync.WaitGroup
	keys := make([]seal.PrivateKey, 8)
	for i := range keys {
		wg.Go(func() {
			k, err := keystore.EnsurePair(path)
			assert.NoError(t, err)
			keys[i] = k
		})
	}
	wg.Wait()
	for _, k := range keys {
		assert.Equal(t, keys[0].Public(), k.Public(), "all get the same")
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	for _, mode := range []os.FileMode{0o644, 0o640, 0o602} {
		require.NoError(t, os.Chmod(path, mode))
		_, err = keystore.LoadPair(path)
		assert.Equal(t, schema.CodeRefused, schema.CodeOf(err))
		_, err = keystore.EnsurePair(path)
		assert.Equal(t, schema.CodeRefused, schema.CodeOf(err), "a wide key is not replaced by a new one")
	}
	for _, text := range []string{"", "x", "AAAA", keys[0].Public().String() + keys[0].Public().String()} {
		bad := filepath.Join(t.TempDir(), "bad.key")
		require.NoError(t, os.WriteFile(bad, []byte(text), 0o600))
		_, err = keystore.LoadPair(bad)
		require.Error(t, err)
		if text != "" {
			assert.NotContains(t, err.Error(), text)
		}
	}
	_, err = keystore.LoadPair(filepath.Dir(path))
	assert.Equal(t, schema.CodeRefused, schema.CodeOf(err), "a directory")

	public := filepath.Join(t.TempDir(), "root.pub")
	require.NoError(t, keystore.WritePublic(public, keys[0].Public()))
	got, err := keystore.LoadPublic(public)
	require.NoError(t, err)
	assert.Equal(t, keys[0].Public(), got)
	require.NoError(t, os.Chmod(public, 0o666))
	_, err = keystore.LoadPublic(public)
	assert.Equal(t, schema.CodeRefused, schema.CodeOf(err))
	_, err = keystore.LoadPublic(public + "x")
	assert.Equal(t, schema.CodeNotFound, schema.CodeOf(err))
}

// FuzzEntry: a file of the store is read strictly, and opens only whole.
func FuzzEntry(f *testing.F) {
	p := newPairs(f)
	e := p.entry(f)
	text, err := json.Marshal(e)
	require.NoError(f, err)
	f.Add(append([]byte(`{"version":1,`), text[1:]...))
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`null`))
	dir := f.TempDir()
	require.NoError(f, os.Chmod(dir, 0o700))
	s, err := keystore.Open(dir)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, e.Organization+".json"), text, 0o600))
		got, err := s.Get(t.Context(), e.Organization)
		if err != nil {
			return
		}
		require.Equal(t, e.Organization, got.Organization)
		if opened, err := got.OpenForAPI(p.api); err == nil {
			require.Equal(t, e.Credentials[0].Public, opened.CredentialPublic)
		}
	})
}
