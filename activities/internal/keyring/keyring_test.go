package keyring_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/nacl/secretbox"
	"golang.org/x/crypto/salsa20/salsa" //nolint:staticcheck // HSalsa20, of which crypto_box derives its key, is nowhere else.

	"github.com/tenonhq/tenon/activities/internal/keyring"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/seal/sealtest"
)

const (
	org    = "org_01h455vb4pex5vsknk084sn02q"
	con    = "con_01h455vb4pex5vsknk084sn02q"
	canary = "canary-71aa-bearer"
)

// cell is one organization's keys and the keyring over them.
type cell struct {
	org     string
	private seal.PrivateKey
	data    seal.DataKeys
	keyring *keyring.Keyring
}

func newCell(t testing.TB, org string, b byte) cell {
	t.Helper()
	private, err := seal.ParsePrivateKey(bytes.Repeat([]byte{b}, seal.KeySize))
	require.NoError(t, err)
	data, err := seal.ParseDataKey(bytes.Repeat([]byte{b + 1}, seal.KeySize))
	require.NoError(t, err)
	keys := seal.NewDataKeys(data)
	return cell{org: org, private: private, data: keys, keyring: keyring.New(org, []seal.PrivateKey{private}, keys)}
}

func credential(org, connection string, version int) seal.Credential {
	return seal.Credential{
		Organization: org, Connection: connection, Version: version,
		Use:    seal.Use{Hosts: []string{"api.example.com"}, PathPrefix: "/v1/", Inject: seal.Injection{Scheme: seal.SchemeBearer}},
		Values: map[string]string{"token": canary},
	}
}

func (c cell) inner(t testing.TB, k seal.Credential) []byte {
	t.Helper()
	sealed, err := seal.SealCredential(c.private.Public(), k)
	require.NoError(t, err)
	return sealed
}

// stored is what stands in the row of a connection's version.
func (c cell) stored(t testing.TB, k seal.Credential, connection string, version int) []byte {
	t.Helper()
	return c.data.Seal(place.Credential(c.org, connection, version), c.inner(t, k))
}

func TestOpen(t *testing.T) {
	c := newCell(t, org, 1)
	opened, err := c.keyring.Open(c.stored(t, credential(org, con, 3), con, 3), con, 3)
	require.NoError(t, err)
	assert.Equal(t, credential(org, con, 3).Use, opened.Use)
	require.Len(t, opened.Values, 1)
	raw := opened.Values["token"].Reveal()
	assert.Equal(t, canary, string(raw))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		shown := fmt.Sprintf(verb, opened) + fmt.Sprintf(verb, *opened) + fmt.Sprintf(verb, c.keyring)
		assert.NotContains(t, shown, canary)
		assert.NotContains(t, shown, "99 97 110 97 114 121")
		assert.NotContains(t, shown, "1 1 1 1 1 1 1 1 1")
	}
	opened.Wipe()
	assert.Equal(t, make([]byte, len(canary)), raw)
}

func TestOlderKeysStillOpen(t *testing.T) {
	before := newCell(t, org, 1)
	sealed := before.stored(t, credential(org, con, 1), con, 1)
	oldData, err := seal.ParseDataKey(bytes.Repeat([]byte{2}, seal.KeySize))
	require.NoError(t, err)
	fresh, err := seal.NewDataKey()
	require.NoError(t, err)
	private, err := seal.NewPrivateKey()
	require.NoError(t, err)
	k := keyring.New(org, []seal.PrivateKey{private, before.private}, seal.NewDataKeys(fresh, oldData))
	_, err = k.Open(sealed, con, 1)
	require.NoError(t, err)
}

// Whoever can write the database, the public key, or both, plants nothing (invariants 1 and 3).
func TestAttacks(t *testing.T) {
	const other = "con_01h455vb4pex5vsknk084sn02r"
	const stranger = "org_01h455vb4pex5vsknk084sn02r"
	mine, theirs := newCell(t, org, 1), newCell(t, stranger, 7)
	place3 := place.Credential(org, con, 3)
	good := mine.inner(t, credential(org, con, 3))
	attacker, err := seal.NewDataKey()
	require.NoError(t, err)
	rewrapped, err := seal.WrapKey(mine.private.Public(), seal.Wrap{Organization: org, Purpose: "credential"}, []byte(canary))
	require.NoError(t, err)

	for name, outer := range map[string][]byte{
		"moved from another connection":               mine.stored(t, credential(org, other, 3), other, 3),
		"an older version replayed":                   mine.stored(t, credential(org, con, 2), con, 2),
		"another organization's":                      theirs.stored(t, credential(stranger, con, 3), con, 3),
		"planted with the public key alone":           good,
		"planted under a data key of the attacker":    seal.NewDataKeys(attacker).Seal(place3, good),
		"wrapped here, sealed for another connection": mine.stored(t, credential(org, other, 3), con, 3),
		"wrapped here, sealed for another version":    mine.stored(t, credential(org, con, 2), con, 3),
		"wrapped here, sealed for another org":        mine.stored(t, credential(stranger, con, 3), con, 3),
		"wrapped here, sealed to another cell's key":  mine.data.Seal(place3, theirs.inner(t, credential(org, con, 3))),
		"wrapped in another field":                    mine.data.Seal(seal.Place{Organization: org, Table: "connections", Row: con, Field: "3"}, good),
		"wrapped without organization":                mine.data.Seal(place.Credential("", con, 3), good),
		"twice wrapped":                               mine.data.Seal(place3, mine.data.Seal(place3, good)),
		"a wrapped key in the place of a credential":  mine.data.Seal(place3, rewrapped),
		"a wrapped key dressed up as a credential":    mine.data.Seal(place3, dress(rewrapped)),
		"by a secret that everyone shares":            mine.data.Seal(place3, mine.worthless(t, credential(org, con, 3))),
		"nothing inside":                              mine.data.Seal(place3, nil),
		"cut short inside":                            mine.data.Seal(place3, good[:len(good)-1]),
		"empty":                                       nil,
		"header only":                                 good[:10],
	} {
		t.Run(name, func(t *testing.T) { refused(t, mine.keyring, outer) })
	}
}

// worthless seals with an ephemeral key of low order: what it shares with any other key is zero.
func (c cell) worthless(t *testing.T, k seal.Credential) []byte {
	t.Helper()
	text, err := json.Marshal(k)
	require.NoError(t, err)
	public, ephemeral := c.private.Public(), make([]byte, seal.KeySize)
	hash, err := blake2b.New(24, nil)
	require.NoError(t, err)
	hash.Write(append(ephemeral, public[:]...))
	var key [seal.KeySize]byte
	salsa.HSalsa20(&key, new([16]byte), new([seal.KeySize]byte), &salsa.Sigma)
	id, nonce := public.ID(), [24]byte(hash.Sum(nil))
	inner := append(append([]byte{1, byte(seal.SuiteCredential)}, id[:]...), ephemeral...)
	return secretbox.Seal(inner, append([]byte(seal.CredentialMagic), text...), &nonce, &key)
}

func dress(wrapped []byte) []byte {
	out := bytes.Clone(wrapped)
	out[1] = byte(seal.SuiteCredential)
	return out
}

func refused(t *testing.T, k *keyring.Keyring, outer []byte) {
	t.Helper()
	opened, err := k.Open(outer, con, 3)
	require.Error(t, err)
	assert.Nil(t, opened)
	assert.Equal(t, schema.CodeRefused, schema.CodeOf(err))
	for _, shown := range []string{err.Error(), fmt.Sprintf("%+v %#v", err, err)} {
		assert.NotContains(t, shown, canary)
	}
}

func TestFlippedAndTruncated(t *testing.T) {
	c := newCell(t, org, 1)
	outer := c.stored(t, credential(org, con, 3), con, 3)
	// What was opened before opens nothing else.
	_, err := c.keyring.Open(outer, con, 3)
	require.NoError(t, err)
	for i := range len(outer) * 8 {
		flipped := bytes.Clone(outer)
		flipped[i/8] ^= 1 << (i % 8)
		_, err := c.keyring.Open(flipped, con, 3)
		require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
	}
	for n := range outer {
		_, err := c.keyring.Open(outer[:n], con, 3)
		require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
	}
	inner := c.inner(t, credential(org, con, 3))
	for i := range len(inner) * 8 {
		flipped := bytes.Clone(inner)
		flipped[i/8] ^= 1 << (i % 8)
		_, err := c.keyring.Open(c.data.Seal(place.Credential(org, con, 3), flipped), con, 3)
		require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
	}
}

// A client seals what it likes: what is inside is checked here (invariant 9).
func TestHostilePlaintexts(t *testing.T) {
	c, sodium := newCell(t, org, 1), sealtest.Build(t)
	good, err := json.Marshal(credential(org, con, 3))
	require.NoError(t, err)
	for name, plain := range map[string]string{
		"no magic":                  string(good),
		"other magic":               "tenon-credential-v2\n" + string(good),
		"a wrap":                    "tenon-wrap-v1\n" + string(good),
		"not JSON":                  seal.CredentialMagic + canary,
		"more after it":             seal.CredentialMagic + string(good) + string(good),
		"unknown field":             seal.CredentialMagic + string(good[:len(good)-1]) + `,"more":1}`,
		"not allowed: no hosts":     seal.CredentialMagic + change(t, good, func(c *seal.Credential) { c.Use.Hosts = nil }),
		"not allowed: any host":     seal.CredentialMagic + change(t, good, func(c *seal.Credential) { c.Use.Hosts = []string{"*"} }),
		"not allowed: header split": seal.CredentialMagic + change(t, good, func(c *seal.Credential) { c.Values["token"] = canary + "\r\nHost: x" }),
		"not allowed: host header":  seal.CredentialMagic + change(t, good, func(c *seal.Credential) { c.Use.Inject = seal.Injection{Scheme: "header", Name: "Host"} }),
		"not allowed: no values":    seal.CredentialMagic + change(t, good, func(c *seal.Credential) { c.Values = nil }),
		"value no string":           seal.CredentialMagic + string(bytes.Replace(good, []byte(`"`+canary+`"`), []byte(`{"a":"`+canary+`"}`), 1)),
		"empty":                     "",
		"null":                      seal.CredentialMagic + "null",
	} {
		t.Run(name, func(t *testing.T) {
			sealed := c.data.Seal(place.Credential(org, con, 3), foreign(t, sodium, c, plain))
			if !strings.Contains(name, "not allowed") {
				refused(t, c.keyring, sealed)
				return
			}
			// Its owner's own slip: nobody tampered with it.
			_, err := c.keyring.Open(sealed, con, 3)
			require.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
			require.NotContains(t, err.Error(), canary)
		})
	}
}

func change(t *testing.T, text []byte, edit func(*seal.Credential)) string {
	t.Helper()
	var c seal.Credential
	require.NoError(t, json.Unmarshal(text, &c))
	edit(&c)
	out, err := json.Marshal(c)
	require.NoError(t, err)
	return string(out)
}

// foreign is what a client in another language makes with libsodium.
func foreign(t *testing.T, sodium sealtest.Sodium, c cell, plain string) []byte {
	t.Helper()
	public := c.private.Public()
	id := public.ID()
	return append(append([]byte{1, byte(seal.SuiteCredential)}, id[:]...), sodium.Seal(t, public[:], []byte(plain))...)
}

func TestLibsodiumClientsAreUnderstood(t *testing.T) {
	c, sodium := newCell(t, org, 1), sealtest.Build(t)
	text, err := json.Marshal(credential(org, con, 3))
	require.NoError(t, err)
	opened, err := c.keyring.Open(c.data.Seal(place.Credential(org, con, 3), foreign(t, sodium, c, seal.CredentialMagic+string(text))), con, 3)
	require.NoError(t, err)
	assert.Equal(t, canary, string(opened.Values["token"].Reveal()))
}

var update = flag.Bool("update", false, "write the golden vector anew: only with a new format version")

// A credential that was once stored opens in every later version.
func TestVector(t *testing.T) {
	path := filepath.Join("testdata", "credential.hex")
	c := newCell(t, org, 1)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(hex.EncodeToString(c.stored(t, credential(org, con, 3), con, 3))+"\n"), 0o600))
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	outer, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	require.NoError(t, err)
	opened, err := c.keyring.Open(outer, con, 3)
	require.NoError(t, err)
	assert.Equal(t, canary, string(opened.Values["token"].Reveal()))
	assert.Equal(t, credential(org, con, 3).Use, opened.Use)
}

// FuzzOpen fuzzes the plaintext inside both layers, and the layers themselves.
func FuzzOpen(f *testing.F) {
	c := newCell(f, org, 1)
	f.Add(c.stored(f, credential(org, con, 3), con, 3), false)
	f.Add(c.inner(f, credential(org, con, 3)), true)
	f.Add([]byte{1, 3}, true)
	f.Fuzz(func(t *testing.T, sealed []byte, wrap bool) {
		if wrap {
			sealed = c.data.Seal(place.Credential(org, con, 3), sealed)
		}
		opened, err := c.keyring.Open(sealed, con, 3)
		if err != nil {
			require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
			return
		}
		require.Equal(t, canary, string(opened.Values["token"].Reveal()))
	})
}
