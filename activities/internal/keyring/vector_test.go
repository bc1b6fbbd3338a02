package keyring_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
)

// vector is a credential that was once stored.
type vector struct {
	// Text is what is inside, to the byte.
	Text string `json:"text"`
	// Stored is what stood in the row.
	Stored string `json:"stored"`
}

// schemes has a credential of each scheme, with all members that it can have.
func schemes(t *testing.T) map[string]seal.Credential {
	t.Helper()
	of := func(in seal.Injection, values map[string]string) seal.Credential {
		c := credential(org, con, 3)
		c.Use.Inject, c.Values = in, values
		return c
	}
	certificate, key := longLived(t)
	return map[string]seal.Credential{
		"bearer": of(seal.Injection{Scheme: seal.SchemeBearer}, map[string]string{"token": canary}),
		"header": of(seal.Injection{Scheme: seal.SchemeHeader, Name: "X-Api-Key", Prefix: "Key "}, map[string]string{"value": canary}),
		"query":  of(seal.Injection{Scheme: seal.SchemeQuery, Name: "key"}, map[string]string{"value": canary}),
		"basic":  of(seal.Injection{Scheme: seal.SchemeBasic}, map[string]string{"username": "shop", "password": canary}),
		"oauth2_client": of(seal.Injection{Scheme: seal.SchemeOAuth2, OAuth2: &seal.OAuth2{
			Grant: seal.GrantClientCredentials, TokenURL: "https://id.example.com/token", ClientAuth: seal.ClientAuthBody,
			Scopes: []string{"bills.read", "bills.write"}, Params: map[string]string{"audience": "https://api.example.com/"}, CA: certificate,
		}}, map[string]string{"client_id": "shop", "client_secret": canary}),
		"oauth2_refresh": of(seal.Injection{Scheme: seal.SchemeOAuth2, Name: "X-Token", Prefix: "T ", OAuth2: &seal.OAuth2{
			Grant: seal.GrantRefreshToken, TokenURL: "https://id.example.com/token",
		}}, map[string]string{"client_id": "shop", "client_secret": canary, "refresh_token": canary + "-2"}),
		"hmac": of(seal.Injection{Scheme: seal.SchemeHMAC, Name: "X-Signature", Prefix: "v1=", HMAC: &seal.HMAC{
			Hash: "sha512", Encoding: "base64", KeyEncoding: "hex", Signed: []string{"timestamp", "method", "target", "body"}, Separator: ".",
			TimestampHeader: "X-Time", TimestampFormat: "rfc3339", KeyIDHeader: "X-Key",
		}}, map[string]string{"key_id": "key-1", "secret": hex.EncodeToString([]byte(canary))}),
		"sigv4": of(seal.Injection{Scheme: seal.SchemeSigV4, SigV4: &seal.SigV4{Region: "eu-central-1", Service: "sqs"}},
			map[string]string{"access_key_id": "ASIACANARYCANARY71AA", "secret_access_key": canary, "session_token": canary + "-2"}),
		"mtls": of(seal.Injection{Scheme: seal.SchemeMTLS}, map[string]string{"certificate": certificate, "private_key": key}),
		"free": of(seal.Injection{Scheme: seal.SchemeFree, Headers: []seal.Placement{{Name: "X-App", Value: "app"}, {Name: "X-User", Prefix: "U ", Value: "user"}}},
			map[string]string{"app": canary, "user": canary + "-2"}),
	}
}

// longLived is a client certificate and its key that outlive this program.
func longLived(t *testing.T) (certificate, private string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "vector"}, NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter: time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// TestSchemeVectors: a credential of each scheme that was once stored opens in
// every later version, and its text is still what would be written.
func TestSchemeVectors(t *testing.T) {
	path := filepath.Join("testdata", "schemes.json")
	c := newCell(t, org, 1)
	if *update {
		all := map[string]vector{}
		for name, k := range schemes(t) {
			text, err := json.Marshal(k)
			require.NoError(t, err)
			all[name] = vector{Text: string(text), Stored: hex.EncodeToString(c.stored(t, k, con, 3))}
		}
		text, err := json.MarshalIndent(all, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, append(text, '\n'), 0o600))
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var all map[string]vector
	require.NoError(t, json.Unmarshal(text, &all))
	for name := range schemes(t) {
		require.Contains(t, all, name)
	}
	for name, v := range all {
		var k seal.Credential
		require.NoError(t, json.Unmarshal([]byte(v.Text), &k), name)
		again, err := json.Marshal(k)
		require.NoError(t, err)
		assert.Equal(t, v.Text, string(again), name)
		stored, err := hex.DecodeString(v.Stored)
		require.NoError(t, err)
		opened, err := c.keyring.Open(stored, con, 3)
		require.NoError(t, err, name)
		assert.Equal(t, k.Use, opened.Use, name)
		values := map[string]string{}
		for value, secret := range opened.Values {
			values[value] = string(secret.Reveal())
		}
		assert.Equal(t, k.Values, values, name)
	}
}

// TestTokenVector: tokens that were once stored open in every later version, for
// the cell that has the private key, in their place.
func TestTokenVector(t *testing.T) {
	path := filepath.Join("testdata", "token.hex")
	c, other := newCell(t, org, 1), newCell(t, org, 5)
	if *update {
		sealed, err := c.keyring.SealToken(con, 3, []byte(canary))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, []byte(hex.EncodeToString(sealed)+"\n"), 0o600))
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	sealed, err := hex.DecodeString(string(text[:len(text)-1]))
	require.NoError(t, err)
	plain, err := c.keyring.OpenToken(con, 3, sealed)
	require.NoError(t, err)
	assert.Equal(t, canary, string(plain))
	_, err = other.keyring.OpenToken(con, 3, sealed)
	require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
	_, err = c.keyring.OpenToken(con, 4, sealed)
	require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
	_, err = c.data.Open(place.Token(org, con, 3), sealed)
	require.Equal(t, schema.CodeRefused, schema.CodeOf(err), "the data key, which the API has, opens no token")
	_, err = c.keyring.OpenToken(con, 3, c.data.Seal(place.Token(org, con, 3), []byte(canary)))
	require.Equal(t, schema.CodeRefused, schema.CodeOf(err), "and plants none")
}
