package api_test

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"html"
	"io/fs"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/nacl/box"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// forms are the ways in which a secret could show.
func forms(canary string) map[string]string {
	all := map[string]string{
		"raw": canary, "hex": hex.EncodeToString([]byte(canary)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(canary))),
		"query": url.QueryEscape(canary), "path": url.PathEscape(canary), "reversed": reverse(canary),
		"base32": base32.StdEncoding.EncodeToString([]byte(canary))[:len(canary)], "html": html.EscapeString(canary), "quoted": strconv.QuoteToASCII(canary)[1 : len(canary)/2],
		"utf16": string(wide(canary)),
	}
	if text, err := json.Marshal(canary); err == nil {
		all["json"] = string(text[1 : len(text)-1])
	}
	// Base64 inside a longer text has one of three alignments.
	for shift := range 3 {
		padded := append(bytes.Repeat([]byte{'x'}, shift), canary...)
		std := base64.StdEncoding.EncodeToString(padded)
		urlForm := base64.URLEncoding.EncodeToString(padded)
		all["base64/"+string(rune('0'+shift))] = std[4 : len(std)-4]
		all["base64url/"+string(rune('0'+shift))] = urlForm[4 : len(urlForm)-4]
	}
	return all
}

// wide is UTF-16, little endian.
func wide(s string) []byte {
	var out []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		out = binary.LittleEndian.AppendUint16(out, unit)
	}
	return out
}

func reverse(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// canaries are secrets that must not show anywhere.
type canaries struct {
	t   *testing.T
	all []string
	// shapes are the forms of those of all that were looked for already.
	shapes []map[string]string
}

func (c *canaries) make(name string) string {
	canary := "CANARY?" + name + "/+&~" + strings.Repeat("q7Zx", 4) + "é"
	c.all = append(c.all, canary)
	return canary
}

func (c *canaries) absent(where string, content []byte) {
	c.t.Helper()
	for _, canary := range c.all[len(c.shapes):] {
		c.shapes = append(c.shapes, forms(canary))
	}
	for i, shapes := range c.shapes {
		for _, form := range within(shapes, content) {
			c.t.Errorf("%s holds the secret of %q as %s", where, c.all[i][:12], form)
		}
	}
}

// found names the forms of a secret that the content holds.
func found(canary string, content []byte) []string { return within(forms(canary), content) }

func within(shapes map[string]string, content []byte) []string {
	var names []string
	for form, text := range shapes {
		if bytes.Contains(content, []byte(text)) {
			names = append(names, form)
		}
	}
	return names
}

// The search itself must find what it looks for.
func TestSearchFinds(t *testing.T) {
	t.Parallel()
	canary := (&canaries{t: t}).make("search")
	for _, content := range []string{
		"a " + canary, base64.StdEncoding.EncodeToString([]byte("Basic user:" + canary)), base64.URLEncoding.EncodeToString([]byte(canary + ".")),
		hex.EncodeToString([]byte("x" + canary)), "https://a.example/?k=" + url.QueryEscape(canary), url.PathEscape(canary),
	} {
		assert.NotEmpty(t, found(canary, []byte(content)), content)
	}
	assert.Empty(t, found(canary, []byte("nothing")))
}

// scheme is a credential type with canaries for values.
type scheme struct {
	inject seal.Injection
	values map[string]string
}

// schemes are all types of credential, each with values of its own shape.
func (c *canaries) schemes(way string) map[string]scheme {
	make := func(name string) string { return c.make(way + name) }
	plain := func(name string) string {
		canary := "CANARY" + way + name + strings.Repeat("q7Zx", 8)
		c.all = append(c.all, canary)
		return canary
	}
	certificate, private := c.pair()
	return map[string]scheme{
		seal.SchemeBearer: {seal.Injection{}, map[string]string{"token": make("bearer")}},
		seal.SchemeHeader: {seal.Injection{Name: "X-Key"}, map[string]string{"value": make("header")}},
		seal.SchemeQuery:  {seal.Injection{Name: "key"}, map[string]string{"value": make("query")}},
		seal.SchemeBasic:  {seal.Injection{}, map[string]string{"username": make("user"), "password": make("pass")}},
		seal.SchemeOAuth2: {
			seal.Injection{OAuth2: &seal.OAuth2{Grant: seal.GrantRefreshToken, TokenURL: "https://login.example/token"}},
			map[string]string{"client_id": plain("client"), "client_secret": plain("secret"), "refresh_token": plain("refresh")},
		},
		seal.SchemeHMAC: {
			seal.Injection{Name: "X-Signature", HMAC: &seal.HMAC{Hash: "sha256", Encoding: "hex", Signed: []string{"body"}}},
			map[string]string{"secret": make("hmac")},
		},
		seal.SchemeSigV4: {
			seal.Injection{SigV4: &seal.SigV4{Region: "eu-central-1", Service: "sqs"}},
			map[string]string{"access_key_id": plain("id"), "secret_access_key": plain("key")},
		},
		seal.SchemeMTLS: {seal.Injection{}, map[string]string{"certificate": certificate, "private_key": private}},
		seal.SchemeFree: {
			seal.Injection{Headers: []seal.Placement{{Name: "X-One", Value: "one"}, {Name: "X-Two", Value: "two"}}},
			map[string]string{"one": make("one"), "two": make("two")},
		},
	}
}

// pair is a client certificate and its key; each line of the key is a canary.
func (c *canaries) pair() (certificate, private string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(c.t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * 300 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(c.t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(c.t, err)
	private = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	for line := range strings.Lines(private) {
		if line = strings.TrimSpace(line); len(line) == 64 {
			c.all = append(c.all, line)
		}
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), private
}

// TestCanaries: Invariant 1. A saved credential of any type, entered in either
// way, comes back by no route, and stands in no log, table or file.
func TestCanaries(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		dir := t.TempDir()
		if b.Name == "sqlite" {
			b = storetest.Backend{Name: "sqlite", ControlURL: "sqlite:" + dir + "/control.db", Admin: store.Admin{Directory: dir + "/cells"}}
		}
		p := newPlatformOn(t, dir, b)
		c := &canaries{t: t}
		e := p.estate("acme")
		c.enter(p, e)
		c.stray(p, e)
		c.walk(p, e)
		for _, key := range []string{e.all, e.bound, p.admin} {
			c.all = append(c.all, key[len(key)-52:])
		}
		c.absent("the log", []byte(p.logs.String()))
		tables, values := b.Dump(t, p.made[e.org])
		require.Greater(t, len(tables), 15)
		require.Contains(t, tables, "door.credentials")
		require.Contains(t, tables, "work.custody")
		require.Contains(t, tables, "control.keys")
		c.absent("a table", values)
		files := 0
		require.NoError(t, filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files++
			c.absent(filepath.Base(path), content)
			return nil
		}))
		require.NotZero(t, files)
	})
}

func encode(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

// enter saves credentials of every type in both ways.
func (c *canaries) enter(p *platform, e *estate) {
	t := c.t
	cleared, sealed := c.schemes("clear-"), c.schemes("sealed-")
	require.Len(t, cleared, len(seal.Schemes()))
	for _, name := range seal.Schemes() {
		use := seal.Use{Hosts: []string{"books.example"}, Inject: cleared[name].inject}
		use.Inject.Scheme = name
		var made struct{ ID string }
		p.must(http.StatusCreated, p.call("POST", "/v1/connections", e.bound, encode(t, map[string]any{
			"name": "c-" + name, "connector": "http", "settings": map[string]string{"base_url": "https://books.example"}, "use": use,
		})), &made)
		path := "/v1/connections/" + made.ID + "/credential"
		p.must(http.StatusOK, p.call("PUT", path, e.bound, encode(t, map[string]any{"values": cleared[name].values})), nil)
		p.opened(e.tenant, made.ID, 1, cleared[name].values)

		var s api.Sealing
		p.must(http.StatusOK, p.call("GET", "/v1/connections/"+made.ID+"/sealing", e.bound, ""), &s)
		require.Equal(t, 2, s.Version)
		box, err := seal.SealCredential(s.PublicKey, seal.Credential{
			Organization: s.Organization, Connection: s.Connection, Version: s.Version, Use: s.Use, Values: sealed[name].values,
		})
		require.NoError(t, err)
		p.must(http.StatusOK, p.call("PUT", path, e.bound, encode(t, map[string]any{"sealed": box, "version": s.Version})), nil)
		p.opened(e.tenant, made.ID, 2, sealed[name].values)

		// What is refused is not repeated either, wherever the secret stands.
		stray := c.make("stray-" + name)
		for _, body := range []string{
			encode(t, map[string]any{"values": map[string]any{"wrong": stray}}),
			encode(t, map[string]any{"values": map[string]any{stray: "x"}}),
			encode(t, map[string]any{"values": map[string]any{"token": []string{stray}}}),
			encode(t, map[string]any{stray: 1}),
			encode(t, map[string]any{"values": stray}),
			encode(t, map[string]any{"sealed": stray, "version": 3}),
			encode(t, map[string]any{"sealed": base64.StdEncoding.EncodeToString([]byte(stray)), "version": 3}),
			encode(t, map[string]any{"values": map[string]any{"token": stray + "\n"}}),
			`{"values":{"token":"` + stray, `"` + stray + `"`, stray,
		} {
			r := p.call("PUT", path, e.bound, body)
			require.Equal(t, http.StatusUnprocessableEntity, r.status, "%s", r.body)
			c.absent("the refusal of "+body[:12], r.body)
		}
	}
}

// stray puts secrets where they do not belong.
func (c *canaries) stray(p *platform, e *estate) {
	t := c.t
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("CANARYwh", 4)))
	c.all = append(c.all, secret, strings.TrimPrefix(secret, "whsec_"))
	p.must(http.StatusCreated, p.call("POST", "/v1/sources", e.bound, encode(t, map[string]any{"name": "given", "flow": "billing", "secrets": []string{secret}})), nil)
	bad := c.make("bad-source")
	r := p.call("POST", "/v1/sources", e.bound, encode(t, map[string]any{"name": "bad", "flow": "billing", "secrets": []string{bad}}))
	require.Equal(t, http.StatusUnprocessableEntity, r.status)
	c.absent("a refused source", r.body)

	// A credential in the wrong request: the framework's refusals echo nothing.
	for _, route := range [][2]string{{"POST", "/v1/connections"}, {"POST", "/v1/keys"}, {"POST", "/v1/namespaces"}, {"POST", "/v1/flows"}, {"PATCH", "/v1/connections/" + e.ids["connection"]}, {"PATCH", "/v1/settings"}} {
		stray := c.make("misplaced")
		for _, body := range []string{encode(t, map[string]any{"name": stray, "state": stray}), encode(t, map[string]any{"name": 1, "document": stray}), `{"name":"` + stray, stray} {
			c.absent(route[1], p.call(route[0], route[1], e.bound, body).body)
		}
		c.absent(route[1], p.call(route[0], route[1]+"?token="+url.QueryEscape(stray), e.bound, `{}`).body)
		c.absent("a route that is not", p.call("GET", "/v1/"+url.PathEscape(stray), e.bound, "").body)
	}
}

// walk calls every route of the document for every connection with every key:
// those that read first, those that end something last.
func (c *canaries) walk(p *platform, e *estate) {
	operations := p.operations()
	answered := map[string]bool{}
	for _, name := range append([]string{""}, seal.Schemes()...) {
		if name != "" {
			e.ids["connection"] = "c-" + name
		}
		for route := range operations {
			if method, path, _ := strings.Cut(route, " "); method == http.MethodGet {
				for _, key := range []string{e.bound, e.all, p.admin} {
					r := p.call(method, e.path(path), key, "", with("X-Namespace", "prod"))
					c.absent(route, r.body)
					answered[route] = answered[route] || r.status == http.StatusOK
				}
				// A source's handshake is for a sender that knows its token: TestHandshakes.
				if name == seal.SchemeFree && route != "GET /v1/hooks/{source}" {
					assert.True(c.t, answered[route], "%s only refused: it was not looked into", route)
				}
			}
		}
		r := p.call("GET", e.path("/v1/connections/{connection}/credential"), e.bound, "")
		require.True(c.t, r.status == http.StatusOK || name == "", "%s", r.body)
	}
	for _, method := range []string{http.MethodPatch, http.MethodPut, http.MethodPost, http.MethodDelete} {
		for route, op := range operations {
			if at, path, _ := strings.Cut(route, " "); at == method && !strings.Contains(path, "revoke-everything") {
				for _, key := range []string{e.bound, e.all, p.admin} {
					c.absent(route, p.call(method, e.path(path), key, cmp.Or(body(op.ID), "{}"), with("X-Namespace", "prod")).body)
				}
			}
		}
	}
	c.absent("revoke-everything", p.call("POST", e.path("/v1/organizations/{organization}/revoke-everything"), p.admin, "").body)
}

// opened checks that what was stored opens, for the cell, to what was entered.
func (p *platform) opened(o *tenant, connection string, version int, values map[string]string) {
	p.t.Helper()
	row, err := p.cells[o.org].Door().GetCredential(p.t.Context(), connection, version)
	require.NoError(p.t, err)
	host := p.host(o.org)
	inner, err := seal.NewDataKeys(host.DataKeys[0]).Open(place.Credential(o.org, connection, version), row.Sealed)
	require.NoError(p.t, err)
	_, sealed, err := seal.Split(seal.SuiteCredential, inner)
	require.NoError(p.t, err)
	public := [32]byte(host.Private[0].Public())
	private := [32]byte(host.Private[0].Reveal())
	plain, ok := box.OpenAnonymous(nil, sealed, &public, &private)
	require.True(p.t, ok)
	text, ok := bytes.CutPrefix(plain, []byte(seal.CredentialMagic))
	require.True(p.t, ok)
	var got seal.Credential
	require.NoError(p.t, json.Unmarshal(text, &got))
	assert.Equal(p.t, values, got.Values)
	assert.Equal(p.t, connection, got.Connection)
	assert.Equal(p.t, version, got.Version)
	assert.Equal(p.t, []string{"books.example"}, got.Use.Hosts)
}

// TestCredentialRules: versions, bindings and revocation.
func TestCredentialRules(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	id := o.connection("books", "bearer")
	path := "/v1/connections/books"
	p.must(http.StatusNotFound, p.call("GET", path+"/credential", o.bound, ""), nil)
	p.must(http.StatusNotFound, p.call("DELETE", path+"/credential", o.bound, ""), nil)
	p.must(http.StatusOK, p.call("PUT", path+"/credential", o.bound, `{"values":{"token":"token-one"},"rotate_by":"`+time.Now().Add(120*24*time.Hour).Format(time.RFC3339)+`"}`), nil)
	var known api.Credential
	p.must(http.StatusOK, p.call("GET", path+"/credential", o.bound, ""), &known)
	assert.Equal(t, 1, known.Version)
	assert.Equal(t, "bearer", known.Scheme)
	assert.Equal(t, "current", known.State)
	assert.WithinDuration(t, time.Now().Add(120*24*time.Hour), known.RotateBy, time.Minute)

	// Stale, foreign and made-up sealed credentials.
	var s api.Sealing
	p.must(http.StatusOK, p.call("GET", path+"/sealing", o.bound, ""), &s)
	sealFor := func(to seal.PublicKey, version int) string {
		sealed, err := seal.SealCredential(to, seal.Credential{Organization: o.org, Connection: id, Version: version, Use: s.Use, Values: map[string]string{"token": "token-x"}})
		require.NoError(t, err)
		text, err := json.Marshal(map[string]any{"sealed": sealed, "version": version})
		require.NoError(t, err)
		return string(text)
	}
	stranger, err := seal.NewPrivateKey()
	require.NoError(t, err)
	p.must(http.StatusConflict, p.call("PUT", path+"/credential", o.bound, sealFor(s.PublicKey, 1)), nil)
	p.must(http.StatusConflict, p.call("PUT", path+"/credential", o.bound, sealFor(s.PublicKey, 3)), nil)
	p.must(http.StatusConflict, p.call("PUT", path+"/credential", o.bound, sealFor(stranger.Public(), 2)), nil)
	p.must(http.StatusUnprocessableEntity, p.call("PUT", path+"/credential", o.bound, `{"sealed":"AQEAAAAAAAAAAAAA","version":2}`), nil)
	p.must(http.StatusOK, p.call("PUT", path+"/credential", o.bound, sealFor(s.PublicKey, 2)), nil)

	// What it is bound to does not change under it.
	moved := `{"settings":{"base_url":"https://evil.example"},"use":{"hosts":["evil.example"],"inject":{"scheme":"bearer"}}}`
	r := p.call("PATCH", path, o.bound, moved)
	require.Equal(t, http.StatusConflict, r.status)
	assert.Equal(t, "/use", r.problem(t).Pointer)
	p.must(http.StatusOK, p.call("PATCH", path, o.bound, `{"settings":{"base_url":"https://books.example/v2"}}`), nil)
	p.must(http.StatusNoContent, p.call("DELETE", path+"/credential", o.bound, ""), nil)
	p.must(http.StatusOK, p.call("GET", path+"/credential", o.bound, ""), &known)
	assert.Equal(t, "revoked", known.State)
	for version := 1; version <= 2; version++ {
		row, err := p.cells[o.org].Door().GetCredential(t.Context(), id, version)
		require.NoError(t, err)
		assert.Empty(t, row.Sealed, "a revoked credential is still there")
	}
	p.must(http.StatusOK, p.call("PATCH", path, o.bound, moved), nil)
	p.must(http.StatusNoContent, p.call("DELETE", path, o.bound, ""), nil)
	p.must(http.StatusNotFound, p.call("GET", path, o.bound, ""), nil)
	p.must(http.StatusNotFound, p.call("GET", "/v1/connections/"+id, o.bound, ""), nil)
	o.connection("books", "bearer")

	sealedOnly := newPlatform(t, func(c *api.Config) { c.PlaintextCredentials = false })
	o = sealedOnly.tenant("acme")
	o.connection("books", "bearer")
	r = sealedOnly.call("PUT", path+"/credential", o.bound, `{"values":{"token":"token-one"}}`)
	assert.Equal(t, http.StatusUnprocessableEntity, r.status)
	assert.Equal(t, "refused", string(r.problem(t).Code))
}
