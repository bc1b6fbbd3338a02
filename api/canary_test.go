package api_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/nacl/box"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
)

// forms are the ways in which a secret could show.
func forms(canary string) map[string]string {
	all := map[string]string{
		"raw": canary, "hex": hex.EncodeToString([]byte(canary)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(canary))),
		"query": url.QueryEscape(canary), "path": url.PathEscape(canary), "reversed": reverse(canary),
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
}

func (c *canaries) make(name string) string {
	canary := "CANARY?" + name + "/+&~" + strings.Repeat("q7Zx", 4) + "é"
	c.all = append(c.all, canary)
	return canary
}

func (c *canaries) absent(where string, content []byte) {
	c.t.Helper()
	for _, canary := range c.all {
		for _, form := range found(canary, content) {
			c.t.Errorf("%s holds the secret of %q as %s", where, canary[:12], form)
		}
	}
}

// found names the forms of a secret that the content holds.
func found(canary string, content []byte) []string {
	var names []string
	for form, text := range forms(canary) {
		if bytes.Contains(content, []byte(text)) {
			names = append(names, form)
		}
	}
	return names
}

// The search itself must find what it looks for.
func TestSearchFinds(t *testing.T) {
	canary := (&canaries{t: t}).make("search")
	for _, content := range []string{
		"a " + canary, base64.StdEncoding.EncodeToString([]byte("Basic user:" + canary)), base64.URLEncoding.EncodeToString([]byte(canary + ".")),
		hex.EncodeToString([]byte("x" + canary)), "https://a.example/?k=" + url.QueryEscape(canary), url.PathEscape(canary),
	} {
		assert.NotEmpty(t, found(canary, []byte(content)), content)
	}
	assert.Empty(t, found(canary, []byte("nothing")))
}

// TestCanaries: Invariant 1. A saved credential comes back by no route, and
// stands in no log and no file.
func TestCanaries(t *testing.T) {
	p := newPlatform(t)
	e := p.estate("acme")
	c := &canaries{t: t}
	values := func(scheme, way string) map[string]string {
		switch scheme {
		case "bearer":
			return map[string]string{"token": c.make(way + scheme)}
		case "basic":
			return map[string]string{"username": c.make(way + "user"), "password": c.make(way + "pass")}
		default:
			return map[string]string{"value": c.make(way + scheme)}
		}
	}
	encode := func(v any) string {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		return string(text)
	}
	for _, scheme := range []string{"bearer", "header", "query", "basic"} {
		id := e.connection("c-"+scheme, scheme)
		path := "/v1/connections/" + id + "/credential"
		clear := values(scheme, "clear-")
		p.must(http.StatusOK, p.call("PUT", path, e.bound, encode(map[string]any{"values": clear})), nil)
		p.opened(e.tenant, id, 1, clear)

		var s api.Sealing
		p.must(http.StatusOK, p.call("GET", "/v1/connections/"+id+"/sealing", e.bound, ""), &s)
		require.Equal(t, 2, s.Version)
		own := values(scheme, "sealed-")
		sealed, err := seal.SealCredential(s.PublicKey, seal.Credential{
			Organization: s.Organization, Connection: s.Connection, Version: s.Version, Use: s.Use, Values: own,
		})
		require.NoError(t, err)
		p.must(http.StatusOK, p.call("PUT", path, e.bound, encode(map[string]any{"sealed": sealed, "version": s.Version})), nil)
		p.opened(e.tenant, id, 2, own)

		// What is refused is not repeated either, wherever the secret stands.
		stray := c.make("stray-" + scheme)
		for _, body := range []string{
			encode(map[string]any{"values": map[string]any{"wrong": stray}}),
			encode(map[string]any{"values": map[string]any{stray: "x"}}),
			encode(map[string]any{"values": map[string]any{"token": []string{stray}}}),
			encode(map[string]any{stray: 1}),
			encode(map[string]any{"values": stray}),
			encode(map[string]any{"sealed": stray, "version": 3}),
			encode(map[string]any{"sealed": base64.StdEncoding.EncodeToString([]byte(stray)), "version": 3}),
			encode(map[string]any{"values": map[string]any{"token": stray + "\n"}}),
			`{"values":{"token":"` + stray, `"` + stray + `"`, stray,
		} {
			r := p.call("PUT", path, e.bound, body)
			require.Equal(t, http.StatusUnprocessableEntity, r.status, "%s", r.body)
			c.absent("the refusal of "+body[:12], r.body)
		}
	}
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("CANARYwh", 4)))
	c.all = append(c.all, secret, strings.TrimPrefix(secret, "whsec_"))
	p.must(http.StatusCreated, p.call("POST", "/v1/sources", e.bound, encode(map[string]any{"name": "given", "flow": "billing", "secrets": []string{secret}})), nil)
	bad := c.make("bad-source")
	r := p.call("POST", "/v1/sources", e.bound, encode(map[string]any{"name": "bad", "flow": "billing", "secrets": []string{bad}}))
	require.Equal(t, http.StatusUnprocessableEntity, r.status)
	c.absent("a refused source", r.body)

	// A credential in the wrong request: the framework's refusals echo nothing.
	for _, route := range [][2]string{{"POST", "/v1/connections"}, {"POST", "/v1/keys"}, {"POST", "/v1/namespaces"}, {"POST", "/v1/flows"}, {"PATCH", "/v1/connections/" + e.ids["connection"]}} {
		stray := c.make("misplaced")
		for _, body := range []string{encode(map[string]any{"name": stray, "state": stray}), encode(map[string]any{"name": 1, "document": stray}), `{"name":"` + stray, stray} {
			c.absent(route[1], p.call(route[0], route[1], e.bound, body).body)
		}
		c.absent(route[1], p.call(route[0], route[1]+"?token="+url.QueryEscape(stray), e.bound, `{}`).body)
		c.absent("a route that is not", p.call("GET", "/v1/"+url.PathEscape(stray), e.bound, "").body)
	}

	for route := range p.operations() {
		method, path, _ := strings.Cut(route, " ")
		if method != http.MethodGet {
			continue
		}
		for _, key := range []string{e.bound, e.all, p.admin} {
			c.absent(route, p.call(method, e.path(path), key, "", with("X-Namespace", "prod")).body)
		}
	}
	for _, scheme := range []string{"bearer", "header", "query", "basic"} {
		r := p.call("GET", "/v1/connections/c-"+scheme+"/credential", e.bound, "")
		require.Equal(t, http.StatusOK, r.status, "%s", r.body)
		c.absent("credential", r.body)
		c.absent("connection", p.call("GET", "/v1/connections/c-"+scheme, e.bound, "").body)
	}
	for _, key := range []string{e.all, e.bound, p.admin} {
		c.all = append(c.all, key[len(key)-52:])
	}
	c.absent("the log", []byte(p.logs.String()))
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
	require.GreaterOrEqual(t, files, 4)
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
	p := newPlatform(t)
	o := p.tenant("acme")
	id := o.connection("books", "bearer")
	path := "/v1/connections/books"
	p.must(http.StatusNotFound, p.call("GET", path+"/credential", o.bound, ""), nil)
	p.must(http.StatusNotFound, p.call("DELETE", path+"/credential", o.bound, ""), nil)
	p.must(http.StatusOK, p.call("PUT", path+"/credential", o.bound, `{"values":{"token":"one"},"rotate_by":"2030-01-01T00:00:00Z"}`), nil)
	var known api.Credential
	p.must(http.StatusOK, p.call("GET", path+"/credential", o.bound, ""), &known)
	assert.Equal(t, 1, known.Version)
	assert.Equal(t, "bearer", known.Scheme)
	assert.Equal(t, "current", known.State)
	require.NotNil(t, known.RotateBy)

	// Stale, foreign and made-up sealed credentials.
	var s api.Sealing
	p.must(http.StatusOK, p.call("GET", path+"/sealing", o.bound, ""), &s)
	sealFor := func(to seal.PublicKey, version int) string {
		sealed, err := seal.SealCredential(to, seal.Credential{Organization: o.org, Connection: id, Version: version, Use: s.Use, Values: map[string]string{"token": "x"}})
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
	moved := `{"use":{"hosts":["evil.example"],"inject":{"scheme":"bearer"}}}`
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
	r = sealedOnly.call("PUT", path+"/credential", o.bound, `{"values":{"token":"one"}}`)
	assert.Equal(t, http.StatusUnprocessableEntity, r.status)
	assert.Equal(t, "refused", string(r.problem(t).Code))
}
