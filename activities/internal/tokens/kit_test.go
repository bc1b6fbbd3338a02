package tokens_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/activities/internal/keyring"
	"github.com/tenonhq/tenon/activities/internal/tokens"
	"github.com/tenonhq/tenon/plugins/broker"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

const (
	clientID     = "client-7f"
	clientSecret = "canary-client-secret:with/signs"
	firstRefresh = "canary-refresh-0"
)

// provider is an OAuth2 token server: it replaces refresh tokens with each use
// and takes the second use of one for theft, as RFC 9700 advises.
type provider struct {
	*httptest.Server
	mu      sync.Mutex
	current string // the refresh token that is valid; empty: all are revoked
	issued  int
	asked   int
	life    int
	// around is called instead of answering, when set; give is the usual answer.
	around func(w http.ResponseWriter, r *http.Request, give func())
	forms  []url.Values
	auth   []string
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{current: firstRefresh, life: 3600}
	p.Server = httptest.NewTLSServer(p)
	p.Config.ErrorLog = nil
	t.Cleanup(p.Close)
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	p.mu.Lock()
	p.asked++
	p.forms = append(p.forms, r.PostForm)
	p.auth = append(p.auth, r.Header.Get("Authorization"))
	around := p.around
	p.mu.Unlock()
	if around != nil {
		around(w, r, func() { p.give(w, r) })
		return
	}
	p.give(w, r)
}

func (p *provider) give(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, secret, ok := r.BasicAuth()
	if ok {
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	} else {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if id != clientID || secret != clientSecret {
		refuse(w, http.StatusUnauthorized, "invalid_client", secret)
		return
	}
	out := map[string]any{"token_type": "bearer"}
	switch r.PostForm.Get("grant_type") {
	case "refresh_token":
		if given := r.PostForm.Get("refresh_token"); given != p.current || p.current == "" {
			p.current = "" // Used twice: the whole family ends.
			refuse(w, http.StatusBadRequest, "invalid_grant", given)
			return
		}
		p.issued++
		p.current = fmt.Sprintf("canary-refresh-%d", p.issued)
		out["refresh_token"] = p.current
	case "client_credentials":
		p.issued++
	default:
		refuse(w, http.StatusBadRequest, "unsupported_grant_type", "")
		return
	}
	out["access_token"] = fmt.Sprintf("canary-access-%d", p.issued)
	if p.life > 0 {
		out["expires_in"] = p.life
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

// refuse quotes what it was sent, as careless servers do.
func refuse(w http.ResponseWriter, status int, code, quoted string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": "what is " + quoted + "?"})
}

func (p *provider) times() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func (p *provider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *provider) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}))
}

func (p *provider) grant(kind string) tokens.Grant {
	g := tokens.Grant{
		Connection: "con_1", Namespace: "ns_1", Version: 1,
		How:    seal.OAuth2{Grant: kind, TokenURL: p.URL + "/token", CA: p.ca()},
		Values: map[string]schema.Secret{"client_id": secret(clientID), "client_secret": secret(clientSecret)},
	}
	if kind == seal.GrantRefreshToken {
		g.Values["refresh_token"] = secret(firstRefresh)
	}
	return g
}

func secret(s string) schema.Secret { return schema.NewSecret([]byte(s)) }

// cell is one cell's database and keys, with a clock of its own.
type cell struct {
	*testing.T
	api, cell *store.Cell
	keys      *keyring.Keyring
	broker    *broker.Broker
	mu        sync.Mutex
	ahead     time.Duration
}

func newCell(t *testing.T, b storetest.Backend) *cell {
	t.Helper()
	org, made := b.Provision(t)
	private, err := seal.ParsePrivateKey(bytes.Repeat([]byte{5}, seal.KeySize))
	require.NoError(t, err)
	data, err := seal.NewDataKey()
	require.NoError(t, err)
	c := &cell{
		T: t, api: storetest.Open(t, made.API, store.SideAPI), cell: storetest.Open(t, made.Cell, store.SideCell),
		keys: keyring.New(org, []seal.PrivateKey{private}, seal.NewDataKeys(data)), broker: broker.New(broker.Config{}),
	}
	t.Cleanup(c.broker.Close)
	return c
}

func (c *cell) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *cell) later(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// process is a source as one process of the cell has it.
func (c *cell) process(owner string) *tokens.Source { return c.over(owner, c.cell.Work()) }

func (c *cell) over(owner string, rows tokens.Rows) *tokens.Source {
	return tokens.New(tokens.Config{Owner: owner, Rows: rows, Keys: c.keys, Broker: c.broker, Now: c.now})
}

// quoted fails when an error tells a secret, to whatever depth.
func quoted(t *testing.T, err error) {
	t.Helper()
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v %#v", err, err)} {
		require.NotContains(t, text, "canary")
	}
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		require.NotContains(t, cause.Error(), "canary")
		require.NotContains(t, cause.Error(), "with/signs")
	}
}
