package api

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/store"
)

func TestKeyText(t *testing.T) {
	t.Parallel()
	id, text, hash := newKey()
	plain := string(text.Reveal())
	got, secret, ok := parseKey(plain)
	require.True(t, ok)
	assert.Equal(t, id, got)
	now := time.Unix(1_800_000_000, 0)
	past, future := now.Add(-time.Second), now.Add(time.Second)
	good := store.Key{ID: id, Hash: hash}
	assert.True(t, usable(&good, id, secret, now))
	assert.True(t, usable(&store.Key{Hash: hash, ExpiresAt: &future}, id, secret, now))
	for name, k := range map[string]*store.Key{
		"none": nil, "no hash": {}, "revoked": {Hash: hash, RevokedAt: &past}, "expired": {Hash: hash, ExpiresAt: &now},
		"revoked later": {Hash: hash, RevokedAt: &future}, "short hash": {Hash: hash[:31]}, "other hash": {Hash: append([]byte{hash[0] ^ 1}, hash[1:]...)},
	} {
		assert.False(t, usable(k, id, secret, now), name)
	}
	other, _, _ := newKey()
	assert.False(t, usable(&good, other, secret, now), "the hash binds the secret to the key's id")
	for _, bad := range []string{
		"", "tk_", plain + "a", plain[:len(plain)-1], strings.ToUpper(plain), " " + plain, plain + " ", strings.Replace(plain, "tk_", "tk-", 1),
		plain[:30], plain + plain, strings.Repeat("tk_", 200),
	} {
		_, _, ok := parseKey(bad)
		assert.False(t, ok, bad)
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	assert.True(t, grants([]string{"*"}, RunsRead))
	assert.True(t, grants([]string{"runs:*"}, RunsRead))
	assert.True(t, grants([]string{"runs:read"}, RunsRead))
	for _, held := range [][]string{nil, {""}, {"runs:write"}, {"run:*"}, {":*"}, {"runs:"}, {"runs"}, {"**"}} {
		assert.False(t, grants(held, RunsRead), held)
	}
	assert.False(t, grants([]string{"runs:*"}, ""), "an operation without a permission is for nobody")
	assert.True(t, covers([]string{"runs:*"}, []string{"runs:read", "runs:write", "runs:*"}))
	assert.False(t, covers([]string{"runs:read", "runs:write"}, []string{"runs:*"}))
	assert.False(t, covers([]string{"runs:*"}, []string{"*"}))
	assert.True(t, covers([]string{"*"}, []string{"*", "runs:*"}))
}

func FuzzParseKey(f *testing.F) {
	_, text, _ := newKey()
	f.Add(string(text.Reveal()))
	f.Add("tk_x_y")
	f.Fuzz(func(t *testing.T, in string) {
		id, secret, ok := parseKey(in)
		if !ok {
			return
		}
		if again := keyPrefix + strings.TrimPrefix(id, "key_") + "_" + keyEncoding.EncodeToString(secret); again != in {
			t.Fatal("a key has two spellings")
		}
	})
}

func FuzzParseCredential(f *testing.F) {
	f.Add([]byte(`{"values":{"token":"x"}}`))
	f.Add([]byte(`{"sealed":"AQI=","version":1,"rotate_by":"2030-01-01T00:00:00Z"}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, in []byte) {
		body, err := parseCredential(in)
		if err == nil && (len(body.sealed) == 0) == (len(body.Values) == 0) {
			t.Fatal("neither or both ways")
		}
	})
}

func FuzzPointer(f *testing.F) {
	f.Add("[0]", "a.b[1].c")
	f.Fuzz(func(t *testing.T, index, path string) {
		for token := range strings.SplitSeq(pointer(index, path), "/") {
			if !plainName(token) {
				t.Fatal("a pointer repeats what is no name")
			}
		}
	})
}

func TestAdmission(t *testing.T) {
	t.Parallel()
	a := newAdmission(Limits{InFlight: 2, InFlightBytes: 10, PerOrganization: 1}.withDefaults())
	one, err := a.enter("", 10)
	require.NoError(t, err)
	_, err = a.enter("", 1)
	require.Error(t, err, "bytes")
	two, err := a.enter("", 0)
	require.NoError(t, err)
	_, err = a.enter("", 0)
	require.Error(t, err, "requests")
	one()
	two()
	acme, err := a.enter("acme", 0)
	require.NoError(t, err)
	_, err = a.enter("acme", 0)
	require.Error(t, err)
	globex, err := a.enter("globex", 0)
	require.NoError(t, err, "one organization takes the room of another")
	acme()
	globex()
	assert.Empty(t, a.byOrg)
	assert.Zero(t, a.bytes)
	assert.Zero(t, a.requests)
}
