package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const golden = "openapi.golden.json"

// TestGolden: the interface changes on purpose only.
func TestGolden(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	got := p.call("GET", "/openapi.json", "", "")
	require.Equal(t, http.StatusOK, got.status)
	var indented bytes.Buffer
	require.NoError(t, json.Indent(&indented, got.body, "", "  "))
	indented.WriteByte('\n')
	if *update {
		require.NoError(t, os.WriteFile(golden, indented.Bytes(), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), indented.String(), "run go test ./api -update when the change is meant")
}

func TestDocumentAndPage(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for path, kind := range map[string]string{
		"/openapi.json": "application/openapi+json", "/openapi.yaml": "application/openapi+yaml",
		"/docs": "text/html; charset=utf-8", "/docs/docs.js": "text/javascript; charset=utf-8", "/docs/docs.css": "text/css; charset=utf-8",
	} {
		r := p.call("GET", path, "", "")
		require.Equal(t, http.StatusOK, r.status, path)
		assert.Equal(t, kind, r.header.Get("Content-Type"), path)
		policy := r.header.Get("Content-Security-Policy")
		assert.Contains(t, policy, "default-src 'none'")
		assert.NotContains(t, policy, "unsafe")
		assert.NotContains(t, policy, "http")
		if strings.HasPrefix(path, "/docs") {
			// Nothing comes from another host, and no script stands in the page.
			assert.NotContains(t, string(r.body), "https://")
			assert.NotContains(t, string(r.body), "innerHTML")
		}
	}
	var doc document
	require.NoError(t, json.Unmarshal(p.call("GET", "/openapi.json", "", "").body, &doc))
	assert.Equal(t, "3.1.0", doc.OpenAPI)
}

// TestUnknownRoutes: what no route takes is a problem too, whatever it looks like.
func TestUnknownRoutes(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	for _, path := range []string{
		"/", "/v1", "/v1/", "/v1/nothing", "/v1/runs/", "/v1/runs/x/", "/v1/runs%2f", "/v1/organizations/..%2fkeys", "/V1/runs", "/v1/runs.json", "/schemas/Run.json",
	} {
		r := p.call("GET", path, o.bound, "")
		assert.Contains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed}, r.status, path)
		r.problem(t)
	}
	r := p.call("DELETE", "/v1/runs", o.bound, "")
	assert.Equal(t, http.StatusMethodNotAllowed, r.status)
	assert.Equal(t, "GET", r.header.Get("Allow"))
	r.problem(t)
}

// document is what the tests read of the OpenAPI document.
type document struct {
	OpenAPI string                          `json:"openapi"`
	Paths   map[string]map[string]operation `json:"paths"`
}

type operation struct {
	ID         string           `json:"operationId"`
	Scope      string           `json:"x-tenon-scope"`
	Permission string           `json:"x-tenon-permission"`
	Security   *json.RawMessage `json:"security"`
	Body       *json.RawMessage `json:"requestBody"`
}

// operations are all routes of the served document.
func (p *platform) operations() map[string]operation {
	p.t.Helper()
	var doc document
	require.NoError(p.t, json.Unmarshal(p.call("GET", "/openapi.json", "", "").body, &doc))
	all := map[string]operation{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			all[strings.ToUpper(method)+" "+path] = op
		}
	}
	require.Greater(p.t, len(all), 30)
	return all
}
