package token_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/token"
)

func signer(t testing.TB) token.Signer {
	t.Helper()
	s, err := token.NewSigner()
	require.NoError(t, err)
	return s
}

func claims(role token.Role, namespaces ...string) token.Claims {
	return token.Claims{Subject: "host", Role: role, Namespaces: namespaces, Expires: time.Now().Add(time.Hour).Truncate(time.Second)}
}

func TestMintAndVerify(t *testing.T) {
	s := signer(t)
	for _, c := range []token.Claims{claims(token.RoleSystem), claims(token.RoleCell, "org_a"), claims(token.RoleOperator, "org_a", "org_b")} {
		text, err := s.Mint(c)
		require.NoError(t, err)
		got, err := s.Verifier().Verify(text, time.Now())
		require.NoError(t, err)
		assert.True(t, c.Expires.Equal(got.Expires))
		assert.WithinDuration(t, time.Now(), got.Issued, 2*time.Second)
		got.Expires, got.Issued = c.Expires, time.Time{}
		assert.Equal(t, c, got)
	}
	assert.True(t, claims(token.RoleSystem).Opens("org_a"))
	assert.True(t, claims(token.RoleCell, "org_a").Opens("org_a"))
	assert.False(t, claims(token.RoleCell, "org_a").Opens("org_b"))
}

func TestMintRefuses(t *testing.T) {
	s := signer(t)
	long := claims(token.RoleSystem)
	long.Expires = time.Now().Add(token.MaxLife + time.Minute)
	forever, nobody := claims(token.RoleSystem), claims(token.RoleSystem)
	forever.Expires, nobody.Subject = time.Time{}, ""
	many := make([]string, 200)
	for i := range many {
		many[i] = schema.NewID(schema.PrefixOrganization)
	}
	for name, c := range map[string]token.Claims{
		"no role": claims(""), "unknown role": claims("admin", "a"), "cell of none": claims(token.RoleCell), "cell of two": claims(token.RoleCell, "a", "b"),
		"operator of none": claims(token.RoleOperator), "empty namespace": claims(token.RoleCell, ""), "too long": long, "forever": forever, "nobody": nobody,
		"too many": claims(token.RoleOperator, many...),
	} {
		_, err := s.Mint(c)
		require.Error(t, err, name)
	}
	_, err := token.Signer{}.Mint(claims(token.RoleSystem))
	require.Error(t, err)
}

// forge signs arbitrary claims with a key and a method.
func forge(t testing.TB, method jwt.SigningMethod, key any, c map[string]any) string {
	t.Helper()
	text, err := jwt.NewWithClaims(method, jwt.MapClaims(c)).SignedString(key)
	require.NoError(t, err)
	return text
}

func TestForgeries(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "signer.key")
	require.NoError(t, os.WriteFile(path, []byte(base64.StdEncoding.EncodeToString(private.Seed())), 0o600))
	s, err := token.LoadSigner(path)
	require.NoError(t, err)
	v, now := s.Verifier(), time.Now()
	base := func(changes ...any) map[string]any {
		c := map[string]any{
			"iss": "tenon", "aud": []string{"tenon-engine"}, "sub": "x", "role": "system", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		}
		for i := 0; i < len(changes); i += 2 {
			if changes[i+1] == nil {
				delete(c, changes[i].(string)) // A test's own names.
			} else {
				c[changes[i].(string)] = changes[i+1] // A test's own names.
			}
		}
		return c
	}
	eddsa := func(changes ...any) string { return forge(t, jwt.SigningMethodEdDSA, private, base(changes...)) }
	good := eddsa()
	_, err = v.Verify(good, now)
	require.NoError(t, err)
	parts := strings.Split(good, ".")
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)

	for name, text := range map[string]string{
		"alg none":                     forge(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, base()),
		"alg none, with a signature":   head("none") + "." + parts[1] + "." + parts[2],
		"HMAC with the public key":     forge(t, jwt.SigningMethodHS256, []byte(public), base()),
		"HMAC with its text":           forge(t, jwt.SigningMethodHS256, []byte(base64.StdEncoding.EncodeToString(public)), base()),
		"another key":                  forge(t, jwt.SigningMethodEdDSA, stranger, base()),
		"no signature":                 parts[0] + "." + parts[1] + ".",
		"another payload":              parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"role":"system"}`)) + "." + parts[2],
		"signature of another length":  good[:len(good)-2],
		"expired":                      eddsa("exp", now.Add(-time.Second).Unix()),
		"no expiry":                    eddsa("exp", nil),
		"longer than allowed":          eddsa("exp", now.Add(365*24*time.Hour).Unix()),
		"no time of issue":             eddsa("iat", nil),
		"not yet":                      eddsa("nbf", now.Add(time.Minute).Unix()),
		"another issuer":               eddsa("iss", "elsewhere"),
		"no issuer":                    eddsa("iss", nil),
		"another audience":             eddsa("aud", "tenon-api"),
		"no audience":                  eddsa("aud", nil),
		"unknown role":                 eddsa("role", "admin"),
		"no role":                      eddsa("role", nil),
		"a cell of two namespaces":     eddsa("role", "cell", "ns", []string{"a", "b"}),
		"a cell of none":               eddsa("role", "cell"),
		"an operator of none":          eddsa("role", "operator"),
		"nobody":                       eddsa("sub", nil),
		"role of another type":         eddsa("role", 7),
		"empty":                        "",
		"dots":                         "..",
		"an API key":                   "tk_canary",
		"too long":                     good + strings.Repeat("A", 5000),
		"more behind it":               good + ".x",
		"padded":                       good + "==",
		"with a space":                 good + " ",
		"with the bearer word":         "Bearer " + good,
		"the same in another alphabet": strings.NewReplacer("-", "+", "_", "/").Replace(good) + "+",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := v.Verify(text, now)
			require.Error(t, err)
			assert.Equal(t, token.Claims{}, c)
			assert.Equal(t, schema.CodeUnauthenticated, schema.CodeOf(err))
			if text != "" && text != ".." {
				assert.NotContains(t, fmt.Sprintf("%v %+v", err, err), text)
			}
		})
	}
	_, err = v.Verify(good, now.Add(2*time.Hour))
	require.Error(t, err, "later it has expired")
	_, err = token.Verifier{}.Verify(good, now)
	require.Error(t, err, "no key opens nothing")
}

func head(alg string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + alg + `","typ":"JWT"}`))
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "signer.key")
	s, err := token.EnsureSigner(path)
	require.NoError(t, err)
	again, err := token.EnsureSigner(path)
	require.NoError(t, err)
	text, err := again.Mint(claims(token.RoleSystem))
	require.NoError(t, err)
	_, err = s.Verifier().Verify(text, time.Now())
	require.NoError(t, err, "the same key")
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	public := filepath.Join(dir, "signer.pub")
	require.NoError(t, token.WriteVerifier(public, s.Verifier()))
	v, err := token.LoadVerifier(public)
	require.NoError(t, err)
	_, err = v.Verify(text, time.Now())
	require.NoError(t, err)

	require.NoError(t, os.Chmod(public, 0o666))
	_, err = token.LoadVerifier(public)
	assert.Equal(t, schema.CodeRefused, schema.CodeOf(err))
	require.NoError(t, os.Chmod(path, 0o644))
	_, err = token.EnsureSigner(path)
	assert.Equal(t, schema.CodeRefused, schema.CodeOf(err), "a wide key is not replaced by a new one")
	bad := filepath.Join(dir, "bad")
	require.NoError(t, os.WriteFile(bad, []byte("canary"), 0o600))
	_, err = token.LoadSigner(bad)
	require.Error(t, err)
	_, err = token.LoadVerifier(bad)
	require.Error(t, err)
}

func TestSignerRedactsItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signer.key")
	seed := bytes.Repeat([]byte("S"), ed25519.SeedSize)
	require.NoError(t, os.WriteFile(path, []byte(base64.StdEncoding.EncodeToString(seed)), 0o600))
	s, err := token.LoadSigner(path)
	require.NoError(t, err)
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%c", "%t"} {
		fmt.Fprintf(&out, verb, s)
		fmt.Fprintf(&out, verb, struct{ s, t any }{s, &s})
	}
	require.NoError(t, json.NewEncoder(&out).Encode(map[string]any{"s": s}))
	assert.NotContains(t, out.String(), "SSSSSSSS")
	assert.NotContains(t, out.String(), "83 83 83")
	assert.NotContains(t, out.String(), "53535353")
	assert.NotContains(t, out.String(), "0x53, 0x53")
}

// FuzzVerify: nothing passes but what was minted.
func FuzzVerify(f *testing.F) {
	s, now := signer(f), time.Now()
	good, err := s.Mint(claims(token.RoleCell, "org_a"))
	require.NoError(f, err)
	f.Add(good)
	f.Add(head("none") + ".e30.")
	f.Add("..")
	parts := strings.Split(good, ".")
	f.Add(parts[0] + ".e30." + parts[2])
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := s.Verifier().Verify(text, now); err == nil {
			require.Equal(t, []string{"org_a"}, c.Namespaces)
			require.Equal(t, good, text)
		}
	})
}
