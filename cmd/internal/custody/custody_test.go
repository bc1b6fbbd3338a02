package custody_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/cmd/internal/custody"
	"github.com/tenonhq/tenon/schema"
)

const (
	vaultKey = "hashivault://tenon-root"
	awsKey   = "awskms:///arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	awsID    = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
)

// every is a key of each provider.
var every = []string{"transit/tenon-root", "keys/tenon-root", awsID, googleName, "azure/tenon-root"}

// TestSameKeys: however it is spelled, a key is the same.
func TestSameKeys(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "root.key")
	require.NoError(t, os.WriteFile(key, nil, 0o600))
	require.NoError(t, os.Symlink(key, filepath.Join(dir, "link")))
	for _, same := range [][2]string{
		{key, dir + "/x/../root.key"},
		{key, filepath.Join(dir, "link")},
		{vaultKey, "hashivault://tenon-root?engine=transit"},
		{vaultKey, "hashivault:///tenon-root/?engine=/transit/"},
		{awsKey, "awskms://1234abcd-12ab-34cd-56ef-1234567890ab?region=eu-central-1"},
		{awsKey, "awskms:///1234ABCD-12ab-34cd-56ef-1234567890ab?region=us-east-1&context_a=b"},
		{"awskms://alias/tenon", "awskms:///arn:aws:kms:eu-central-1:111122223333:alias/tenon"},
		{"awskms://alias/tenon?region=eu-central-1", "awskms:///arn:aws:kms:eu-central-1:111122223333:alias/tenon"},
		{"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k", "gcpkms:///projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/2"},
		{"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k", "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k?additional_authenticated_data=eA=="},
		{"azurekeyvault://a.vault.azure.net/keys/k", "azurekeyvault://A.vault.azure.net/keys/K/0123?algorithm=RSA-OAEP"},
	} {
		assert.True(t, custody.Same(same[0], same[1]), "%s %s", same[0], same[1])
		assert.True(t, custody.Same(same[1], same[0]), "%s %s", same[1], same[0])
	}
	for _, other := range [][2]string{
		{key, filepath.Join(dir, "api.key")},
		{key, vaultKey},
		{vaultKey, "hashivault://tenon-api"},
		{vaultKey, "hashivault://tenon-root?engine=other"},
		{vaultKey, "hashivault://Tenon-root"},
		{awsKey, "awskms://alias/tenon"},
		{"awskms://alias/tenon?region=eu-central-1", "awskms://alias/tenon?region=us-east-1"},
		{"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k", "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k2"},
		{"azurekeyvault://a.vault.azure.net/keys/k", "azurekeyvault://b.vault.azure.net/keys/k"},
	} {
		assert.False(t, custody.Same(other[0], other[1]), "%s %s", other[0], other[1])
	}
	for _, bad := range []string{
		"https://vault/x", "hashivault://", "hashivault://a?engine=x&engine=y", "hashivault://user:secret@a", "awskms://", "awskms://a/b", "awskms:///arn:aws:s3:::x",
		"gcpkms://projects/p", "azurekeyvault://a.example/keys/k", "base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=", "vault://x", "hashivault://a#b", "hashivault://tenon%2Droot",
	} {
		err := custody.Check("root-key", bad)
		require.Equal(t, schema.CodeInvalid, schema.CodeOf(err), bad)
		assert.Contains(t, err.Error(), "root-key")
		assert.NotContains(t, err.Error(), "secret")
	}
}

func FuzzReference(f *testing.F) {
	f.Add(vaultKey, awsKey)
	f.Add("gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k", "azurekeyvault://a.vault.azure.net/keys/k")
	f.Fuzz(func(t *testing.T, a, b string) {
		if custody.Remote(a) && custody.Check("root-key", a) == nil && !custody.Same(a, a) {
			t.Error("a key is not itself")
		}
		if custody.Same(a, b) != custody.Same(b, a) {
			t.Error("two keys are the same one way only")
		}
	})
}

// TestProviders keep a private half: made once, wrapped, and opened at each start.
func TestProviders(t *testing.T) {
	for name, value := range map[string]string{
		"vault": vaultKey, "vault, another engine": "hashivault://tenon-root?engine=keys", "aws": awsKey, "google": googleKey, "azure": azureKey,
	} {
		t.Run(name, func(t *testing.T) {
			fake.reset(t, every...)
			dir := t.TempDir()
			path, public := filepath.Join(dir, "root.wrapped"), filepath.Join(dir, "root.pub")
			k := custody.New("root-key", value, path)
			_, err := k.Load(t.Context())
			require.Equal(t, schema.CodeNotFound, schema.CodeOf(err), "%v", err)
			require.ErrorContains(t, err, "root-key")
			made, err := k.Ensure(t.Context(), public)
			require.NoError(t, err)
			again, err := k.Ensure(t.Context(), public)
			require.NoError(t, err)
			loaded, err := custody.New("root-key", value, path).Load(t.Context())
			require.NoError(t, err)
			require.Equal(t, made.Reveal(), again.Reveal())
			require.Equal(t, made.Reveal(), loaded.Reveal())
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NotContains(t, string(text), string(made.Reveal()))
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

			// A wider mode, another key, and what it did not wrap are refused.
			require.NoError(t, os.Chmod(path, 0o640))
			_, err = k.Load(t.Context())
			require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
			require.NoError(t, os.Chmod(path, 0o600))
			_, err = custody.New("root-key", "hashivault://other", path).Load(t.Context())
			require.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
			fake.reset(t, every...)
			_, err = k.Load(t.Context())
			require.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
			require.ErrorContains(t, err, "root-key")
		})
	}
}

// TestFailingProviders: a provider that is absent, refuses or speaks nonsense is an
// error that names the setting; nothing is made, and no file is used instead.
func TestFailingProviders(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"refuses":   func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"errors":["no"]}`, http.StatusForbidden) },
		"no answer": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"no JSON":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"other JSON": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"data":{"ciphertext":7,"plaintext":["canary"]}}`))
		},
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		for _, value := range []string{vaultKey, awsKey, googleKey, azureKey} {
			if name == "hangs up" && value != vaultKey {
				continue // Its client tries again for seconds, which is its own matter.
			}
			t.Run(name+" "+value[:6], func(t *testing.T) {
				fake.reset(t, every...)
				dir := t.TempDir()
				path, public := filepath.Join(dir, "root.wrapped"), filepath.Join(dir, "root.pub")
				k := custody.New("root-key", value, path)
				fake.answers(answer)
				_, err := k.Ensure(t.Context(), public)
				require.Error(t, err)
				require.ErrorContains(t, err, "root-key")
				left, err := os.ReadDir(dir)
				require.NoError(t, err)
				require.Empty(t, left)

				fake.answers(nil)
				_, err = k.Ensure(t.Context(), public)
				require.NoError(t, err)
				fake.answers(answer)
				_, err = k.Ensure(t.Context(), public)
				require.Error(t, err)
				require.ErrorContains(t, err, "root-key")
				require.NotContains(t, err.Error(), "canary")
			})
		}
	}
}

// TestProvidersAreReachedByTLS: the private half crosses no link in clear, and no
// unverified one.
func TestProvidersAreReachedByTLS(t *testing.T) {
	for name, value := range map[string]string{"VAULT_ADDR": "http://vault.example:8200", "AWS_ENDPOINT_URL": "http://10.0.0.1", "VAULT_SKIP_VERIFY": "true"} {
		t.Run(name, func(t *testing.T) {
			fake.reset(t, "transit/tenon-root")
			t.Setenv(name, value)
			_, err := custody.New("root-key", vaultKey, filepath.Join(t.TempDir(), "root.wrapped")).Ensure(t.Context(), "none")
			require.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
			require.ErrorContains(t, err, name)
			require.Zero(t, fake.asked)
		})
	}
}

// TestLostKeysAreNotMadeAnew: where a private half was, none is made in its place.
func TestLostKeysAreNotMadeAnew(t *testing.T) {
	fake.reset(t, "transit/tenon-root")
	dir := t.TempDir()
	public := filepath.Join(dir, "root.pub")
	require.NoError(t, os.WriteFile(public, []byte("x"), 0o600))
	for _, value := range []string{vaultKey, filepath.Join(dir, "root.key")} {
		_, err := custody.New("root-key", value, filepath.Join(dir, "root.wrapped")).Ensure(t.Context(), public)
		require.Equal(t, schema.CodeNotFound, schema.CodeOf(err))
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

// TestApart finds one key under two names by asking: what one wraps, the other
// must not unwrap, and AWS says which key it is.
func TestApart(t *testing.T) {
	fake.reset(t, "transit/tenon-root", "transit/tenon-api")
	dir := t.TempDir()
	root, api := custody.New("root-key", vaultKey, dir+"/r"), custody.New("api-key", "hashivault://tenon-api", dir+"/a")
	require.NoError(t, custody.Apart(t.Context(), root, api))
	fake.mu.Lock()
	fake.keys["transit/tenon-api"] = fake.keys["transit/tenon-root"]
	fake.mu.Unlock()
	err := custody.Apart(t.Context(), root, api)
	require.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
	require.ErrorContains(t, err, "api-key")
	require.NoError(t, custody.Apart(t.Context(), custody.New("root-key", dir+"/r", ""), custody.New("api-key", dir+"/a", "")))
}

// TestApartInAWS: an alias, the id of the key that it stands for and its replica in
// another region are one key.
func TestApartInAWS(t *testing.T) {
	const other = "arn:aws:kms:eu-central-1:111122223333:key/ffffffff-12ab-34cd-56ef-1234567890ab"
	fake.reset(t, awsID, other)
	fake.mu.Lock()
	fake.aliases["alias/tenon"], fake.aliases["alias/other"] = awsID, other
	fake.mu.Unlock()
	root := custody.New("root-key", awsKey, "")
	apart := func(value string) error { return custody.Apart(t.Context(), root, custody.New("api-key", value, "")) }
	require.NoError(t, apart("awskms://alias/other?region=eu-central-1"))
	for _, value := range []string{"awskms://alias/tenon?region=eu-central-1", "awskms://alias/tenon?region=us-east-1&context_purpose=api"} {
		err := apart(value)
		require.Equal(t, schema.CodeInvalid, schema.CodeOf(err), value)
		require.ErrorContains(t, err, "root-key")
	}
	err := apart("awskms://alias/none")
	require.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
	require.ErrorContains(t, err, "api-key")
	fake.answers(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"KeyId":"alias/tenon"}`)) })
	require.Equal(t, schema.CodeUnavailable, schema.CodeOf(apart("awskms://alias/tenon")))
}

// TestApartInClouds: two names of one key of Google's or of Azure's are found by
// asking, and two keys are two.
func TestApartInClouds(t *testing.T) {
	for _, c := range [][3]string{
		{googleKey, "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/other", "projects/p/locations/l/keyRings/r/cryptoKeys/other"},
		{azureKey, "azurekeyvault://" + azureVault + "/keys/other", "azure/other"},
	} {
		fake.reset(t, append(every, c[2])...)
		a, b := custody.New("root-key", c[0], ""), custody.New("api-key", c[1], "")
		require.NoError(t, custody.Apart(t.Context(), a, b), c[1])
		require.Equal(t, schema.CodeInvalid, schema.CodeOf(custody.Apart(t.Context(), a, custody.New("api-key", c[0], ""))), c[0])
	}
}
