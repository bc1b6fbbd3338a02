package seal_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// injections has one of each scheme, with good values.
func injections(t testing.TB) map[string]seal.Credential {
	t.Helper()
	of := func(in seal.Injection, values map[string]string) seal.Credential {
		c := credential()
		c.Use.Inject, c.Values = in, values
		return c
	}
	return map[string]seal.Credential{
		"bearer": of(seal.Injection{Scheme: seal.SchemeBearer}, map[string]string{"token": "canary-5e1f"}),
		"header": of(seal.Injection{Scheme: seal.SchemeHeader, Name: "X-Api-Key", Prefix: "Key "}, map[string]string{"value": "canary-5e1f"}),
		"query":  of(seal.Injection{Scheme: seal.SchemeQuery, Name: "key"}, map[string]string{"value": "canary-5e1f"}),
		"basic":  of(seal.Injection{Scheme: seal.SchemeBasic}, map[string]string{"username": "shop", "password": "canary-5e1f"}),
		"client": of(seal.Injection{Scheme: seal.SchemeOAuth2, OAuth2: &seal.OAuth2{
			Grant: seal.GrantClientCredentials, TokenURL: "https://id.example.com/oauth/token", Scopes: []string{"bills.write"}, Params: map[string]string{"audience": "a"},
		}}, map[string]string{"client_id": "shop", "client_secret": "canary-5e1f"}),
		"refresh": of(seal.Injection{Scheme: seal.SchemeOAuth2, Name: "X-Token", OAuth2: &seal.OAuth2{
			Grant: seal.GrantRefreshToken, TokenURL: "https://id.example.com:8443/token", ClientAuth: seal.ClientAuthNone,
		}}, map[string]string{"client_id": "shop", "refresh_token": "canary-5e1f"}),
		"hmac": of(seal.Injection{Scheme: seal.SchemeHMAC, Name: "X-Signature", HMAC: &seal.HMAC{
			Hash: "sha256", Encoding: "hex", KeyEncoding: "base64", Signed: []string{"timestamp", "body"}, Separator: ".", TimestampHeader: "X-Time", KeyIDHeader: "X-Key",
		}}, map[string]string{"key_id": "k1", "secret": "Y2FuYXJ5LTVlMWY="}),
		"sigv4": of(seal.Injection{Scheme: seal.SchemeSigV4, SigV4: &seal.SigV4{Region: "eu-central-1", Service: "sqs"}},
			map[string]string{"access_key_id": "AKIACANARYCANARY5E1F", "secret_access_key": strings.Repeat("canary5e1f", 4)}),
		"mtls": of(seal.Injection{Scheme: seal.SchemeMTLS}, pair(t, time.Now().AddDate(1, 0, 0), x509.ExtKeyUsageClientAuth)),
		"free": of(seal.Injection{Scheme: seal.SchemeFree, Headers: []seal.Placement{{Name: "X-App", Value: "app_key"}, {Name: "X-User", Value: "user_key"}}},
			map[string]string{"app_key": "canary-5e1f", "user_key": "canary-5e2f"}),
	}
}

func certificate(t testing.TB, key any, public any, until time.Time, usage ...x509.ExtKeyUsage) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: until, ExtKeyUsage: usage}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func pair(t testing.TB, until time.Time, usage ...x509.ExtKeyUsage) map[string]string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return map[string]string{
		"certificate": certificate(t, key, key.Public(), until, usage...),
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
	}
}

// TestGoodCredentials: one of each scheme is sealed without a word.
func TestGoodCredentials(t *testing.T) {
	for name, c := range injections(t) {
		warnings, err := seal.Check(c.Use.Inject, c.Values)
		require.NoError(t, err, name)
		assert.Empty(t, warnings, name)
		sealed, err := seal.SealCredential(privateKey(t, 3).Public(), c)
		require.NoError(t, err, name)
		assert.NotContains(t, string(sealed), "canary", name)
	}
}

// TestEntryRefusals: what cannot be right is refused, at the value, without a
// word of it.
func TestEntryRefusals(t *testing.T) {
	expired, mine, other := pair(t, time.Now().Add(-time.Hour)), pair(t, time.Now().AddDate(1, 0, 0)), pair(t, time.Now().AddDate(1, 0, 0))
	for name, test := range map[string]struct {
		kind, at string
		values   map[string]string
	}{
		"line break at the end":  {"bearer", "/values/token", map[string]string{"token": "canary-5e1f\n"}},
		"space before":           {"header", "/values/value", map[string]string{"value": " canary-5e1f"}},
		"no-break space after":   {"query", "/values/value", map[string]string{"value": "canary-5e1f\u00a0"}},
		"control character":      {"query", "/values/value", map[string]string{"value": "canary\x00-5e1f"}},
		"not UTF-8":              {"header", "/values/value", map[string]string{"value": "canary\xff-5e1f"}},
		"too long":               {"header", "/values/value", map[string]string{"value": strings.Repeat("canary", 5000)}},
		"too short":              {"header", "/values/value", map[string]string{"value": "abc"}},
		"empty":                  {"bearer", "/values/token", map[string]string{"token": ""}},
		"with its scheme":        {"bearer", "/values/token", map[string]string{"token": "Bearer canary-5e1f"}},
		"two words":              {"bearer", "/values/token", map[string]string{"token": "canary 5e1f"}},
		"user name with colon":   {"basic", "/values/username", map[string]string{"username": "canary:5e1f", "password": "canary-5e1f"}},
		"nothing at all":         {"basic", "/values/password", map[string]string{"username": "", "password": ""}},
		"masked":                 {"bearer", "/values/token", map[string]string{"token": "sk_live_****5e1f"}},
		"dots":                   {"header", "/values/value", map[string]string{"value": "••••••••"}},
		"template":               {"header", "/values/value", map[string]string{"value": "${CANARY_KEY}"}},
		"braces":                 {"header", "/values/value", map[string]string{"value": "{{ canary }}"}},
		"angles":                 {"header", "/values/value", map[string]string{"value": "<your-canary>"}},
		"changeme":               {"header", "/values/value", map[string]string{"value": "changeme"}},
		"PASSWORD":               {"query", "/values/value", map[string]string{"value": "PASSWORD"}},
		"example of RFC 6750":    {"bearer", "/values/token", map[string]string{"token": "mF_9.B5f-4.1JqM"}},
		"example of AWS":         {"sigv4", "/values/access_key_id", map[string]string{"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": strings.Repeat("x1", 20)}},
		"example secret of AWS":  {"sigv4", "/values/secret_access_key", map[string]string{"access_key_id": "AKIACANARYCANARY5E1F", "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}},
		"key id as secret":       {"sigv4", "/values/secret_access_key", map[string]string{"access_key_id": "AKIACANARYCANARY5E1F", "secret_access_key": "AKIACANARYCANARY5E1F"}},
		"secret as key id":       {"sigv4", "/values/access_key_id", map[string]string{"access_key_id": "canary/5e1f+x", "secret_access_key": "canary-5e1f"}},
		"temporary without":      {"sigv4", "/values/session_token", map[string]string{"access_key_id": "ASIACANARYCANARY5E1F", "secret_access_key": strings.Repeat("canary5e1f", 4)}},
		"not in its encoding":    {"hmac", "/values/secret", map[string]string{"key_id": "k1", "secret": "canary!5e1f"}},
		"one is missing":         {"client", "/values/client_secret", map[string]string{"client_id": "shop"}},
		"one too many":           {"refresh", "/values", map[string]string{"client_id": "shop", "refresh_token": "canary-5e1f", "client_secret": "canary-5e1f"}},
		"in another's name":      {"free", "/values/app_key", map[string]string{"canary-5e1f": "x", "user_key": "canary-5e2f"}},
		"not PEM":                {"mtls", "/values/certificate", map[string]string{"certificate": "canary-5e1f", "private_key": mine["private_key"]}},
		"key beside certificate": {"mtls", "/values/certificate", map[string]string{"certificate": mine["certificate"] + mine["private_key"], "private_key": mine["private_key"]}},
		"swapped":                {"mtls", "/values/certificate", map[string]string{"certificate": mine["private_key"], "private_key": mine["certificate"]}},
		"text before":            {"mtls", "/values/certificate", map[string]string{"certificate": "subject=canary\n" + mine["certificate"], "private_key": mine["private_key"]}},
		"another's key":          {"mtls", "/values/private_key", map[string]string{"certificate": mine["certificate"], "private_key": other["private_key"]}},
		"two keys":               {"mtls", "/values/private_key", map[string]string{"certificate": mine["certificate"], "private_key": mine["private_key"] + other["private_key"]}},
		"no key":                 {"mtls", "/values/private_key", map[string]string{"certificate": mine["certificate"], "private_key": ""}},
		"encrypted key":          {"mtls", "/values/private_key", map[string]string{"certificate": mine["certificate"], "private_key": strings.ReplaceAll(mine["private_key"], "PRIVATE KEY", "ENCRYPTED PRIVATE KEY")}},
		"expired":                {"mtls", "/values/certificate", expired},
	} {
		t.Run(name, func(t *testing.T) {
			c := injections(t)[test.kind]
			c.Values = test.values
			_, err := seal.SealCredential(privateKey(t, 1).Public(), c)
			pointer(t, err, test.at)
			var e *schema.Error
			require.ErrorAs(t, err, &e)
			assert.NotEmpty(t, e.Message)
			quotes(t, test.values, e.Message+e.Hint+e.Pointer)
		})
	}
}

// quotes fails when a text repeats a value, or what of it is long enough to be
// known again.
func quotes(t *testing.T, values map[string]string, text string) {
	t.Helper()
	assert.NotContains(t, strings.ToLower(text), "canary")
	for _, value := range values {
		for line := range strings.SplitSeq(value, "\n") {
			if len(line) > 20 && !strings.HasPrefix(line, "---") {
				assert.NotContains(t, text, line)
			}
		}
	}
}

// TestEntryWarnings: what may be right is let through, with a word about it.
func TestEntryWarnings(t *testing.T) {
	for name, test := range map[string]struct {
		kind, at string
		values   map[string]string
	}{
		"Stripe test key":      {"bearer", "/values/token", map[string]string{"token": "sk_test_canary5e1f"}},
		"restricted test key":  {"bearer", "/values/token", map[string]string{"token": "rk_test_canary5e1f"}},
		"webhook test secret":  {"header", "/values/value", map[string]string{"value": "whsec_test_canary"}},
		"publishable key":      {"bearer", "/values/token", map[string]string{"token": "pk_live_canary5e1f"}},
		"quotation marks":      {"header", "/values/value", map[string]string{"value": `"canary-5e1f"`}},
		"prefix twice":         {"header", "/values/value", map[string]string{"value": "Key canary-5e1f"}},
		"odd characters":       {"bearer", "/values/token", map[string]string{"token": "canary{5e1f}"}},
		"beyond ASCII":         {"header", "/values/value", map[string]string{"value": "cänary-5e1f"}},
		"password":             {"basic", "/values/password", map[string]string{"username": "shop", "password": "changeme"}},
		"password with spaces": {"basic", "/values/password", map[string]string{"username": "shop", "password": " canary-5e1f "}},
		"same twice":           {"basic", "/values/password", map[string]string{"username": "canary-5e1f", "password": "canary-5e1f"}},
		"not AWS's":            {"sigv4", "/values/access_key_id", map[string]string{"access_key_id": "canary-minio", "secret_access_key": strings.Repeat("canary5e1f", 4)}},
		"not AWS's length":     {"sigv4", "/values/secret_access_key", map[string]string{"access_key_id": "AKIACANARYCANARY5E1F", "secret_access_key": "canary-5e1f"}},
		"temporary": {"sigv4", "/values/access_key_id", map[string]string{
			"access_key_id": "ASIACANARYCANARY5E1F", "secret_access_key": strings.Repeat("canary5e1f", 4), "session_token": "canary-session",
		}},
		"ends soon":      {"mtls", "/values/certificate", pair(t, time.Now().AddDate(0, 0, 7), x509.ExtKeyUsageClientAuth)},
		"for servers":    {"mtls", "/values/certificate", pair(t, time.Now().AddDate(1, 0, 0), x509.ExtKeyUsageServerAuth)},
		"a weak old key": {"mtls", "/values/private_key", weak(t)},
	} {
		t.Run(name, func(t *testing.T) {
			c := injections(t)[test.kind]
			warnings, err := seal.Check(c.Use.Inject, test.values)
			require.NoError(t, err)
			require.Len(t, warnings, 1)
			assert.Equal(t, test.at, warnings[0].Pointer)
			assert.NotEmpty(t, warnings[0].Hint)
			quotes(t, test.values, warnings[0].Message+warnings[0].Hint)
		})
	}
}

func weak(t *testing.T) map[string]string {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, 1024) // Weak on purpose: what is checked is that it is noticed.
	require.NoError(t, err)
	return map[string]string{
		"certificate": certificate(t, key, key.Public(), time.Now().AddDate(1, 0, 0)),
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
	}
}

// TestInjections: what a scheme lacks, and what it does not have, is refused.
func TestInjections(t *testing.T) {
	for want, change := range map[string]func(map[string]seal.Credential) (seal.Use, func(*seal.Use)){
		"/inject/oauth2":                  on("client", func(u *seal.Use) { u.Inject.OAuth2 = nil }),
		"/inject/hmac#1":                  on("bearer", func(u *seal.Use) { u.Inject.HMAC = &seal.HMAC{} }),
		"/inject/prefix":                  on("client", func(u *seal.Use) { u.Inject.Prefix = "X " }),
		"/inject/oauth2/token_url":        on("client", func(u *seal.Use) { u.Inject.OAuth2.TokenURL = "http://id.example.com/token" }),
		"/inject/oauth2/token_url#1":      on("client", func(u *seal.Use) { u.Inject.OAuth2.TokenURL = "https://u@id.example.com/token" }),
		"/inject/oauth2/token_url#2":      on("client", func(u *seal.Use) { u.Inject.OAuth2.TokenURL = "https://id.example.com/token?x" }),
		"/inject/oauth2/token_url#3":      on("client", func(u *seal.Use) { u.Inject.OAuth2.TokenURL = "https://ID.example.com/token" }),
		"/inject/oauth2/token_url#4":      on("client", func(u *seal.Use) { u.Inject.OAuth2.TokenURL = "https://id.example.com" }),
		"/inject/oauth2/token_url#5":      on("client", func(u *seal.Use) { u.Inject.OAuth2.TokenURL = "https://id.example.com/a/../t" }),
		"/inject/oauth2/grant":            on("client", func(u *seal.Use) { u.Inject.OAuth2.Grant = "password" }),
		"/inject/oauth2/client_auth":      on("client", func(u *seal.Use) { u.Inject.OAuth2.ClientAuth = seal.ClientAuthNone }),
		"/inject/oauth2/scopes":           on("client", func(u *seal.Use) { u.Inject.OAuth2.Scopes = []string{"a b"} }),
		"/inject/oauth2/scopes#1":         on("refresh", func(u *seal.Use) { u.Inject.OAuth2.Scopes = []string{"a"} }),
		"/inject/oauth2/params":           on("client", func(u *seal.Use) { u.Inject.OAuth2.Params = map[string]string{"Client_Secret": "x"} }),
		"/inject/oauth2/ca":               on("client", func(u *seal.Use) { u.Inject.OAuth2.CA = "none" }),
		"/inject/hmac/hash":               on("hmac", func(u *seal.Use) { u.Inject.HMAC.Hash = "md5" }),
		"/inject/hmac/encoding":           on("hmac", func(u *seal.Use) { u.Inject.HMAC.Encoding = "" }),
		"/inject/hmac/key_encoding":       on("hmac", func(u *seal.Use) { u.Inject.HMAC.KeyEncoding = "rot13" }),
		"/inject/hmac/signed":             on("hmac", func(u *seal.Use) { u.Inject.HMAC.Signed = nil }),
		"/inject/hmac/signed/1":           on("hmac", func(u *seal.Use) { u.Inject.HMAC.Signed = []string{"body", "weather"} }),
		"/inject/hmac/timestamp_header":   on("hmac", func(u *seal.Use) { u.Inject.HMAC.TimestampHeader = "" }),
		"/inject/hmac/timestamp_header#1": on("hmac", func(u *seal.Use) { u.Inject.HMAC.TimestampHeader = "x-signature" }),
		"/inject/hmac/key_id_header":      on("hmac", func(u *seal.Use) { u.Inject.HMAC.KeyIDHeader = "Host" }),
		"/inject/hmac/timestamp_format":   on("hmac", func(u *seal.Use) { u.Inject.HMAC.TimestampFormat = "rfc822" }),
		"/inject/name":                    on("hmac", func(u *seal.Use) { u.Inject.Name = "" }),
		"/inject/sigv4/region":            on("sigv4", func(u *seal.Use) { u.Inject.SigV4.Region = "EU" }),
		"/inject/sigv4/service":           on("sigv4", func(u *seal.Use) { u.Inject.SigV4.Service = "" }),
		"/inject/headers":                 on("free", func(u *seal.Use) { u.Inject.Headers = nil }),
		"/inject/headers/1/name":          on("free", func(u *seal.Use) { u.Inject.Headers[1].Name = "x-app" }),
		"/inject/headers/0/name":          on("free", func(u *seal.Use) { u.Inject.Headers[0].Name = "Content_Type" }),
		"/inject/headers/0/value":         on("free", func(u *seal.Use) { u.Inject.Headers[0].Value = "App Key" }),
		"/inject/headers/0/prefix":        on("free", func(u *seal.Use) { u.Inject.Headers[0].Prefix = "a\r\n" }),
		"/plain_http":                     on("mtls", func(u *seal.Use) { u.PlainHTTP = true }),
	} {
		u, edit := change(injections(t))
		edit(&u)
		want, _, _ = strings.Cut(want, "#")
		pointer(t, seal.CheckUse(u), want)
	}
}

func on(kind string, edit func(*seal.Use)) func(map[string]seal.Credential) (seal.Use, func(*seal.Use)) {
	return func(all map[string]seal.Credential) (seal.Use, func(*seal.Use)) { return all[kind].Use, edit }
}

// TestFits: what a connector fixes cannot be chosen otherwise.
func TestFits(t *testing.T) {
	all := injections(t)
	for fixed, kind := range map[string]string{
		``: "bearer", `{}`: "bearer", `{"name":"X-Api-Key"}`: "header", `{"oauth2":{"grant":"client_credentials","token_url":"https://id.example.com/oauth/token"}}`: "client",
		`{"sigv4":{ "service": "sqs" }}`: "sigv4", `{"headers":[{"name":"X-App","value":"app_key"},{"name":"X-User"}]}`: "free",
		`{"hmac":{"signed":["timestamp","body"]}}`: "hmac",
	} {
		require.NoError(t, all[kind].Use.Inject.Fits(json.RawMessage(fixed)), fixed)
	}
	for fixed, want := range map[string]string{
		`{"name":"X-Other"}`: "/inject/name", `{"oauth2":{"token_url":"https://x/"}}`: "/inject/oauth2",
		`{"headers":[{"name":"X-App"}]}`: "/inject/headers", `[1]`: "/inject", `{"name":`: "/inject",
	} {
		pointer(t, all["header"].Use.Inject.Fits(json.RawMessage(fixed)), want)
	}
}

// TestUsesAreCompared: nothing of a use changes without being noticed.
func TestUsesAreCompared(t *testing.T) {
	for name, c := range injections(t) {
		text, err := json.Marshal(c.Use)
		require.NoError(t, err)
		var again seal.Use
		require.NoError(t, json.Unmarshal(text, &again))
		assert.True(t, c.Use.Equal(again), name)
		again.PathPrefix = "/v2"
		assert.False(t, c.Use.Equal(again), name)
	}
	a, b := injections(t)["client"].Use, injections(t)["client"].Use
	b.Inject.OAuth2.TokenURL = "https://id.example.com/oauth/token2"
	assert.False(t, a.Equal(b))
	b.Inject.OAuth2 = &seal.OAuth2{Grant: a.Inject.OAuth2.Grant, TokenURL: a.Inject.OAuth2.TokenURL, Scopes: a.Inject.OAuth2.Scopes, Params: maps.Clone(a.Inject.OAuth2.Params)}
	assert.True(t, a.Equal(b))
}

// FuzzCheck: whatever is entered, nothing panics and no answer repeats it.
func FuzzCheck(f *testing.F) {
	kinds := slices.Sorted(maps.Keys(injections(f)))
	for i := range kinds {
		f.Add(uint8(i), "canary-5e1f", "other")
		f.Add(uint8(i), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")
		f.Add(uint8(i), "${x}", "****")
	}
	all := injections(f)
	f.Fuzz(func(t *testing.T, kind uint8, one, two string) {
		c := all[kinds[int(kind)%len(kinds)]]
		required, _ := seal.ValueNames(c.Use.Inject)
		values := map[string]string{}
		for i, name := range required {
			values[name] = []string{one, two}[i%2]
		}
		warnings, err := seal.Check(c.Use.Inject, values)
		text := ""
		if err != nil {
			var e *schema.Error
			require.ErrorAs(t, err, &e)
			text = e.Message + e.Hint + e.Pointer
		}
		for _, w := range warnings {
			text += w.Message + w.Hint + w.Pointer
		}
		for _, value := range values {
			if len(value) > 24 {
				require.NotContains(t, text, value)
			}
		}
	})
}
