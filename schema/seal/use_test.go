package seal_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

func use() seal.Use {
	return seal.Use{Hosts: []string{"api.example.com"}, Inject: seal.Injection{Scheme: seal.SchemeBearer}}
}

func credential() seal.Credential {
	return seal.Credential{
		Organization: "org_a", Connection: "con_a", Version: 1, Use: use(), Values: map[string]string{"token": "canary-5e1f"},
	}
}

func TestHosts(t *testing.T) {
	for _, good := range []string{
		"api.example.com", "localhost", "api.example.com:8443", "10.0.0.7", "10.0.0.7:8443", "[::1]", "[::1]:9", "xn--bcher-kva.example", "a-b.c3.d",
	} {
		u := use()
		u.Hosts = []string{good}
		require.NoError(t, seal.CheckUse(u), good)
	}
	for _, bad := range []string{
		"", " ", "API.example.com", "api.example.com.", ".example.com", "*.example.com", "https://api.example.com", "api.example.com/x",
		"user@api.example.com", "api.example.com:0", "api.example.com:65536", "api.example.com:", "api.example.com:+1", "api.example.com:0443",
		"api..example.com", "-a.example", "a-.example", "bücher.example", "a_b.example", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "10.0.0.007",
		"[::1", "::1]", "[[::1]]", "[10.0.0.7]", "[::ffff:10.0.0.7]", "[0:0::1]", "[fe80::1%eth0]", "a\x00b", "a b", "a\n", strings.Repeat("a", 64) + ".example",
		strings.Repeat("a.", 130) + "example",
	} {
		u := use()
		u.Hosts = []string{"api.example.com", bad}
		pointer(t, seal.CheckUse(u), "/hosts/1")
	}
	u := use()
	u.Hosts = nil
	pointer(t, seal.CheckUse(u), "/hosts")
	u.Hosts = make([]string, 65)
	pointer(t, seal.CheckUse(u), "/hosts")
}

func pointer(t *testing.T, err error, want string) {
	t.Helper()
	var e *schema.Error
	require.ErrorAs(t, err, &e, "%v", err)
	assert.Equal(t, want, e.Pointer)
}

func TestUses(t *testing.T) {
	for want, change := range map[string]func(*seal.Use){
		"/path_prefix":    func(u *seal.Use) { u.PathPrefix = "/v1/../admin" },
		"/inject/scheme":  func(u *seal.Use) { u.Inject.Scheme = "cookie" },
		"/inject/name#5":  func(u *seal.Use) { u.Inject.Name = "X" },
		"/inject/name":    func(u *seal.Use) { u.Inject = seal.Injection{Scheme: seal.SchemeHeader, Name: "X\r\nHost"} },
		"/inject/name#2":  func(u *seal.Use) { u.Inject = seal.Injection{Scheme: seal.SchemeHeader, Name: "Host"} },
		"/inject/name#3":  func(u *seal.Use) { u.Inject = seal.Injection{Scheme: seal.SchemeQuery} },
		"/inject/name#4":  func(u *seal.Use) { u.Inject = seal.Injection{Scheme: seal.SchemeHeader, Name: "Transfer-Encoding"} },
		"/inject/prefix":  func(u *seal.Use) { u.Inject = seal.Injection{Scheme: seal.SchemeHeader, Name: "X", Prefix: "a\n"} },
		"/inject/prefix#": func(u *seal.Use) { u.Inject = seal.Injection{Scheme: seal.SchemeQuery, Name: "x", Prefix: "a"} },
		"/path_prefix#":   func(u *seal.Use) { u.PathPrefix = "v1" },
		"/path_prefix#2":  func(u *seal.Use) { u.PathPrefix = "/v1?x" },
		"/path_prefix#3":  func(u *seal.Use) { u.PathPrefix = "/%2e%2e" },
		"/ca":             func(u *seal.Use) { u.CA = "none" },
		"/ca#2":           func(u *seal.Use) { u.CA = strings.Repeat("x", 100<<10) },
	} {
		u := use()
		change(&u)
		want, _, _ = strings.Cut(want, "#")
		pointer(t, seal.CheckUse(u), want)
	}
}

func TestPrivateAuthority(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	u := use()
	u.CA = authority + authority
	require.NoError(t, seal.CheckUse(u))
	u.CA = authority + "trailing"
	pointer(t, seal.CheckUse(u), "/ca")
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	u.CA = authority + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	pointer(t, seal.CheckUse(u), "/ca")
}

func TestCredentialsAreCheckedBeforeTheyAreSealed(t *testing.T) {
	require.NoError(t, seal.CheckCredential(credential()))
	basic := func(values map[string]string) func(*seal.Credential) {
		return func(c *seal.Credential) {
			c.Use.Inject.Scheme, c.Values = seal.SchemeBasic, values
		}
	}
	ok := credential()
	basic(map[string]string{"username": "api-key", "password": ""})(&ok)
	require.NoError(t, seal.CheckCredential(ok))
	for want, change := range map[string]func(*seal.Credential){
		"/organization":     func(c *seal.Credential) { c.Organization = "" },
		"/connection":       func(c *seal.Credential) { c.Connection = "" },
		"/version":          func(c *seal.Credential) { c.Version = 0 },
		"/use/hosts":        func(c *seal.Credential) { c.Use.Hosts = nil },
		"/values":           func(c *seal.Credential) { c.Values = nil },
		"/values#2":         func(c *seal.Credential) { c.Values["more"] = "canary-5e1f" },
		"/values/token":     func(c *seal.Credential) { c.Values = map[string]string{"value": "canary-5e1f"} },
		"/values/token#2":   func(c *seal.Credential) { c.Values["token"] = "canary-5e1f\r\nHost: evil" },
		"/values/token#3":   func(c *seal.Credential) { c.Values["token"] = "" },
		"/values/token#4":   func(c *seal.Credential) { c.Values["token"] = strings.Repeat("canary-5e1f", 2000) },
		"/values/token#5":   func(c *seal.Credential) { c.Values["token"] = "canary-5e1f\xff" },
		"/values/username":  basic(map[string]string{"username": "canary-5e1f:x", "password": "y"}),
		"/values/password":  basic(map[string]string{"username": "a", "password": "canary-5e1f\n"}),
		"/values/password#": basic(map[string]string{"username": "a", "passphrase": "canary-5e1f"}),
	} {
		c := credential()
		change(&c)
		_, err := seal.SealCredential(privateKey(t, 1).Public(), c)
		want, _, _ = strings.Cut(want, "#")
		pointer(t, err, want)
		assert.NotContains(t, err.Error(), "canary", want)
	}
}
