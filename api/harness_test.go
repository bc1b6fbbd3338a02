package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/schema/token"
)

// platform is a whole API on real databases and real HTTP, with a test in the
// place of the host: it provisions, and hears the bell.
type platform struct {
	t       *testing.T
	dir     string
	admins  store.Admin
	control *store.Control
	keys    *keystore.Store
	root    seal.PrivateKey
	private seal.PrivateKey
	signer  token.Signer
	config  api.Config
	api     *api.Server
	server  *httptest.Server
	admin   string
	logs    *logs
	clock   *clock

	mu    sync.Mutex
	rings map[string]int
	cells map[string]*store.Cell
	made  map[string]store.Provisioned
}

// logs is what the server logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// clock is the server's time: the real one, moved; or one that stands still.
type clock struct {
	mu     sync.Mutex
	moved  time.Duration
	stands time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stands.IsZero() {
		return c.stands
	}
	return time.Now().Add(c.moved)
}

// set stops the clock at a time.
func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stands = at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved += d
}

// manifest is a connector for tests; the API knows connectors by their
// manifest only.
var manifest = sdk.Manifest{
	Name: "http", Version: "1.0.0", Title: "HTTP",
	Auth:     everyScheme(),
	Settings: json.RawMessage(`{"type":"object","properties":{"base_url":{"type":"string","pattern":"^https?://"},"headers":{"type":"object"}},"additionalProperties":false}`),
	Actions:  []sdk.ActionInfo{{Name: "request", Title: "Request", Effect: sdk.EffectWrite, Idempotency: sdk.IdempotencyKey}},
}

func everyScheme() []sdk.AuthScheme {
	var all []sdk.AuthScheme
	for _, scheme := range seal.Schemes() {
		all = append(all, sdk.AuthScheme{Scheme: scheme, Title: scheme})
	}
	return all
}

// newPlatform stands on SQLite files, which a test can search.
func newPlatform(t *testing.T, change ...func(*api.Config)) *platform {
	t.Helper()
	dir := t.TempDir()
	return newPlatformOn(t, dir, storetest.Backend{
		Name: "sqlite", ControlURL: "sqlite:" + dir + "/control.db", Admin: store.Admin{Directory: dir + "/cells"},
	}, change...)
}

func newPlatformOn(t *testing.T, dir string, backend storetest.Backend, change ...func(*api.Config)) *platform {
	t.Helper()
	ctx := context.Background()
	p := &platform{t: t, dir: dir, admins: backend.Admin, logs: &logs{}, clock: &clock{}, rings: map[string]int{}, cells: map[string]*store.Cell{}, made: map[string]store.Provisioned{}}
	var err error
	p.control, err = store.OpenControl(ctx, backend.ControlURL)
	require.NoError(t, err)
	p.keys, err = keystore.Open(p.dir + "/keys")
	require.NoError(t, err)
	p.root, err = seal.NewPrivateKey()
	require.NoError(t, err)
	p.private, err = seal.NewPrivateKey()
	require.NoError(t, err)
	p.signer, err = token.NewSigner()
	require.NoError(t, err)
	cfg := api.Config{
		Control: p.control, Keys: p.keys, APIKey: p.private, Operators: p.signer.Verifier(),
		Connectors: []sdk.Manifest{manifest}, EngineUI: "http://127.0.0.1:8233", PlaintextCredentials: true,
		Logger: slog.New(slog.NewJSONHandler(p.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Clock:  p.clock.now,
		Limits: api.Limits{Fresh: time.Nanosecond},
		Bell: func(org string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.rings[org]++
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := api.New(cfg)
	require.NoError(t, err)
	p.config, p.api = cfg, s
	p.server = httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		p.server.Close()
		require.NoError(t, s.Close())
		for org, c := range p.cells {
			require.NoError(t, c.Close())
			require.NoError(t, store.Deprovision(ctx, p.admins, org))
		}
		require.NoError(t, p.control.Close())
	})
	issued := api.NewAdministratorKey()
	require.NoError(t, api.IssueAdministratorKey(ctx, p.control, issued))
	p.admin = string(issued.Reveal())
	return p
}

func (p *platform) rung(org string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rings[org]
}

// provision does what the host does for a new organization.
func (p *platform) provision(org string) {
	p.t.Helper()
	ctx := context.Background()
	made, err := store.Provision(ctx, p.admins, org)
	require.NoError(p.t, err)
	entry, err := keystore.Generate(org, p.root.Public(), p.private.Public())
	require.NoError(p.t, err)
	urls, err := config.Databases{Door: made.API.Door, Work: made.API.Work}.Encode()
	require.NoError(p.t, err)
	wrapped, err := seal.WrapKey(p.private.Public(), seal.Wrap{Organization: org, Purpose: keystore.DatabasePurpose(keystore.DatabaseAPI)}, []byte(urls))
	require.NoError(p.t, err)
	entry.Databases = map[string]keystore.Database{keystore.DatabaseAPI: {ToAPI: wrapped}}
	require.NoError(p.t, p.keys.Put(ctx, entry))
	cell, err := store.OpenCell(ctx, made.Cell, store.SideCell)
	require.NoError(p.t, err)
	p.cells[org], p.made[org] = cell, made
	require.NoError(p.t, p.control.SetOrganizationState(ctx, org, store.OrganizationActive, store.AuditDraft{Actor: "system", Action: "organization.activate", Target: org}))
}

// host opens the keys of a cell, as its worker has them.
func (p *platform) host(org string) keystore.HostCell {
	p.t.Helper()
	entry, err := p.keys.Get(context.Background(), org)
	require.NoError(p.t, err)
	opened, err := entry.OpenForHost(p.root)
	require.NoError(p.t, err)
	return opened
}

// tenant is an organization with a namespace and keys of several kinds.
type tenant struct {
	p         *platform
	org       string
	all       string // a key that may do everything
	namespace string
	bound     string // a key bound to the namespace
	other     string // another namespace's id
}

func (p *platform) tenant(name string) *tenant {
	p.t.Helper()
	var org struct{ ID string }
	p.must(http.StatusCreated, p.call("POST", "/v1/organizations", p.admin, `{"name":"`+name+`"}`), &org)
	p.provision(org.ID)
	o := &tenant{p: p, org: org.ID}
	o.all = p.key(p.admin, `{"organization":"`+org.ID+`","name":"all","permissions":["*"]}`)
	o.namespace = o.newNamespace("prod")
	o.other = o.newNamespace("staging")
	o.bound = p.key(o.all, `{"namespace":"prod","name":"bound","permissions":["*"]}`)
	return o
}

func (p *platform) key(by, body string) string {
	p.t.Helper()
	var key struct{ Key string }
	p.must(http.StatusCreated, p.call("POST", "/v1/keys", by, body), &key)
	return key.Key
}

func (o *tenant) newNamespace(name string) string {
	o.p.t.Helper()
	var ns struct{ ID string }
	o.p.must(http.StatusCreated, o.p.call("POST", "/v1/namespaces", o.all, `{"name":"`+name+`"}`), &ns)
	return ns.ID
}

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	body   []byte
	what   string
}

// problem is the answer as RFC 9457 has it.
func (r reply) problem(t *testing.T) api.Problem {
	t.Helper()
	require.Equal(t, "application/problem+json", r.header.Get("Content-Type"), "%s: %s", r.what, r.body)
	var p api.Problem
	require.NoError(t, json.Unmarshal(r.body, &p), r.what)
	require.Equal(t, r.status, p.Status)
	require.NotEmpty(t, p.Code)
	require.NotEmpty(t, p.Detail)
	require.NoError(t, schema.CheckID(schema.PrefixRequest, p.RequestID))
	return p
}

type option func(*http.Request)

func with(name, value string) option {
	return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = []string{value} }
}

func (p *platform) call(method, path, key, body string, options ...option) reply {
	p.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.server.URL+path, reader)
	require.NoError(p.t, err)
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, o := range options {
		o(req)
	}
	resp, err := p.server.Client().Do(req)
	require.NoError(p.t, err)
	defer func() { require.NoError(p.t, resp.Body.Close()) }()
	read, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	return reply{status: resp.StatusCode, header: resp.Header, body: read, what: method + " " + path}
}

func (p *platform) must(status int, r reply, into any) {
	p.t.Helper()
	require.Equal(p.t, status, r.status, "%s: %s\n%s", r.what, r.body, p.logs)
	if into != nil {
		require.NoError(p.t, json.Unmarshal(r.body, into))
	}
}

// connection makes a connection of the namespace-bound key.
func (o *tenant) connection(name, scheme string) string {
	o.p.t.Helper()
	inject := `{"scheme":"` + scheme + `"}`
	if scheme == "header" || scheme == "query" {
		inject = `{"scheme":"` + scheme + `","name":"X-Key"}`
	}
	var c struct{ ID string }
	o.p.must(http.StatusCreated, o.p.call("POST", "/v1/connections", o.bound,
		`{"name":"`+name+`","connector":"http","settings":{"base_url":"https://books.example"},"use":{"hosts":["books.example"],"inject":`+inject+`}}`), &c)
	return c.ID
}

const billing = `document:
  dsl: 1.0.3
  namespace: books
  name: billing
  version: 1.0.0
do:
  - map:
      set:
        number: ${ .number }
`

func (o *tenant) deploy(document string) string {
	o.p.t.Helper()
	var d struct{ Flow struct{ ID string } }
	o.p.must(http.StatusCreated, o.p.call("POST", "/v1/flows", o.bound, document, with("Content-Type", "application/yaml")), &d)
	return d.Flow.ID
}
