package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/seal"
)

// billing is a flow that does its one effect after an optional step before it.
func billing(before string) string {
	return `
document: {dsl: '1.0.3', namespace: e2e, name: billing, version: '1.0.0'}
do:` + before + `
  - createBill:
      call: http
      with:
        method: post
        endpoint: {uri: /bills, authentication: {use: books}}
        body:
          order: '${ $workflow.input.id }'
          supplier: sup-100
          currency: EUR
          lines: [{sku: A, description: A, quantity: 1, unit_price_cents: 100}]
      output: {as: '${ {number} }'}
`
}

// retried is a flow that makes its bill again a while after it could not.
func retried(pause time.Duration) string {
	bill := strings.SplitAfter(billing(""), "\ndo:")[1]
	return strings.SplitAfter(billing(""), "\ndo:")[0] + `
  - persist:
      try:` + strings.ReplaceAll(bill, "\n", "\n      ") + `
      catch: {retry: {delay: {milliseconds: ` + fmt.Sprint(pause.Milliseconds()) + `}, limit: {attempt: {count: 3}}}}
`
}

// waiting is the step of a flow that waits.
func waiting(d time.Duration) string {
	return fmt.Sprintf("\n  - pause: {wait: {milliseconds: %d}}", d.Milliseconds())
}

// shop is an organization of the platform, with a bookkeeper that its flows
// send bills to: what that recorded is the truth.
type shop struct {
	p        *platform
	org, key string
	mode     ledger.Mode
	books    *ledger.Server
	// hooks are the sources by the name of their flow, secrets their keys.
	hooks, secrets map[string]string
}

// newShop makes an organization with a connection to a bookkeeper of its own,
// and a source for each flow. The credential is sealed here.
func newShop(t *testing.T, p *platform, mode ledger.Mode, flows map[string]string) *shop {
	t.Helper()
	return openShop(t, p, mode, flows, (*shop).sealCredential)
}

// openShop is newShop with a way to enter the connection's credential.
func openShop(t *testing.T, p *platform, mode ledger.Mode, flows map[string]string, enter func(s *shop, t *testing.T, connection string)) *shop {
	t.Helper()
	books := bookkeeper(t, mode)
	return p.shop(t, books, mode, books.Address(), flows, enter)
}

// bookkeeper starts one that ends with the test.
func bookkeeper(t *testing.T, mode ledger.Mode) *ledger.Server {
	t.Helper()
	books, err := ledger.Start(ledger.Config{Directory: filepath.Join(t.TempDir(), "books"), Idempotency: mode})
	require.NoError(t, err)
	t.Cleanup(func() { _ = books.Close() })
	return books
}

// shop makes an organization whose connection reaches the bookkeeper at the address.
func (p *platform) shop(
	t *testing.T, books *ledger.Server, mode ledger.Mode, address string, flows map[string]string, enter func(s *shop, t *testing.T, connection string),
) *shop {
	t.Helper()
	s := &shop{p: p, mode: mode, books: books, hooks: map[string]string{}, secrets: map[string]string{}}
	s.org, s.key = p.organization(t, "Shop")
	s.must(t, http.MethodPost, "/v1/namespaces", 201, map[string]any{"name": "prod"}, nil)

	use := seal.Use{Hosts: []string{address}, Inject: seal.Injection{Scheme: seal.SchemeBearer}, CA: books.CA()}
	connection := map[string]any{"name": "books", "connector": "http", "settings": map[string]any{"base_url": "https://" + address}, "use": use}
	switch mode {
	case ledger.Keys:
		connection["idempotency_header"] = "Idempotency-Key"
	case ledger.Lookup:
		connection["lookup"] = map[string]any{
			"action": "request",
			"with":   map[string]any{"method": "get", "endpoint": "/bills", "query": map[string]any{"order": "${ $input.body.order }"}},
			"found":  "${ .bills[0] }",
		}
	case ledger.None:
	}
	var made struct{ ID string }
	s.must(t, http.MethodPost, "/v1/connections", 201, connection, &made)
	enter(s, t, made.ID)
	for name, text := range flows {
		var f struct{ Flow struct{ ID string } }
		s.must(t, http.MethodPost, "/v1/flows", 201, []byte(strings.Replace(text, "name: billing", "name: "+name, 1)), &f)
		var hook struct{ Path, Secret string }
		s.must(t, http.MethodPost, "/v1/sources", 201, map[string]any{"name": name, "flow": f.Flow.ID, "verifier": "standard-webhooks"}, &hook)
		s.hooks[name], s.secrets[name] = hook.Path, hook.Secret
	}
	return s
}

// sealCredential enters the bookkeeper's token as clients do that seal.
func (s *shop) sealCredential(t *testing.T, connection string) {
	t.Helper()
	var to struct {
		PublicKey    seal.PublicKey `json:"public_key"`
		Organization string         `json:"organization"`
		Connection   string         `json:"connection"`
		Version      int            `json:"version"`
		Use          seal.Use       `json:"use"`
	}
	s.must(t, http.MethodGet, "/v1/connections/"+connection+"/sealing", 200, nil, &to)
	sealed, err := seal.SealCredential(to.PublicKey, seal.Credential{
		Organization: to.Organization, Connection: to.Connection, Version: to.Version, Use: to.Use,
		Values: map[string]string{"token": s.books.Token()},
	})
	require.NoError(t, err)
	s.must(t, http.MethodPut, "/v1/connections/"+connection+"/credential", 200, map[string]any{"sealed": sealed, "version": to.Version}, nil)
}

// clearCredential enters it in clear.
func (s *shop) clearCredential(t *testing.T, connection string) {
	t.Helper()
	s.must(t, http.MethodPut, "/v1/connections/"+connection+"/credential", 200, map[string]any{"values": map[string]string{"token": s.books.Token()}}, nil)
}

// administrator is the first key of the platform.
func (p *platform) administrator(t *testing.T) string {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(p.data, "admin.key"))
	require.NoError(t, err)
	return strings.TrimSpace(string(key))
}

// organization makes an organization, waits for its cell, and returns a key to
// all of it.
func (p *platform) organization(t *testing.T, name string) (id, key string) {
	t.Helper()
	admin := p.administrator(t)
	var org struct{ ID, State string }
	p.must(t, admin, "", http.MethodPost, "/v1/organizations", 201, map[string]any{"name": name}, &org)
	eventually(t, 40*time.Second, "the cell is provisioned", func() bool {
		p.must(t, admin, "", http.MethodGet, "/v1/organizations/"+org.ID, 200, nil, &org)
		return org.State == "active"
	})
	var issued struct{ Key string }
	p.must(t, admin, "", http.MethodPost, "/v1/keys", 201, map[string]any{"organization": org.ID, "name": "e2e", "permissions": []string{"*"}}, &issued)
	return org.ID, issued.Key
}

// call sends a request to the API; in is JSON, or YAML when it is bytes.
func (p *platform) call(t *testing.T, key, namespace, method, path string, in any) (int, []byte, error) {
	t.Helper()
	kind, body := "application/json", []byte(nil)
	switch v := in.(type) {
	case nil:
	case []byte:
		kind, body = "application/yaml", v
	default:
		var err error
		body, err = json.Marshal(v)
		require.NoError(t, err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.api+path, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Authorization", "Bearer "+key)
	if namespace != "" {
		req.Header.Set("X-Namespace", namespace)
	}
	return send(req)
}

func send(req *http.Request) (int, []byte, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

func (p *platform) must(t *testing.T, key, namespace, method, path string, want int, in, out any) {
	t.Helper()
	status, text, err := p.call(t, key, namespace, method, path, in)
	require.NoError(t, err)
	require.Equal(t, want, status, "%s %s: %s", method, path, text)
	if out != nil {
		require.NoError(t, json.Unmarshal(text, out))
	}
}

func (s *shop) must(t *testing.T, method, path string, want int, in, out any) {
	t.Helper()
	namespace := "prod"
	if path == "/v1/namespaces" {
		namespace = ""
	}
	s.p.must(t, s.key, namespace, method, path, want, in, out)
}

// order sends the event of an order, signed. status is 0 when the API was not
// to be reached.
func (s *shop) order(t *testing.T, flow, id string) (status int, event string) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"id": id})
	require.NoError(t, err)
	signer, err := standardwebhooks.NewWebhook(s.secrets[flow])
	require.NoError(t, err)
	now := time.Now()
	signature, err := signer.Sign("msg_"+id, now, text)
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.p.api+s.hooks[flow], bytes.NewReader(text))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Webhook-Id", "msg_"+id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Webhook-Signature", signature)
	status, answer, err := send(req)
	if err != nil {
		return 0, ""
	}
	var accepted struct{ Event string }
	_ = json.Unmarshal(answer, &accepted)
	return status, accepted.Event
}

// accepted sends an order that must be accepted.
func (s *shop) accepted(t *testing.T, flow, id string) {
	t.Helper()
	status, event := s.order(t, flow, id)
	require.Equal(t, 202, status)
	require.NotEmpty(t, event)
}

type runView struct {
	ID, Event, State, Engine string
	DueAt                    time.Time `json:"due_at"`
	Error                    json.RawMessage
	Effects                  []struct{ ID, State string }
}

// runs lists all runs, newest first.
func (s *shop) runs(t *testing.T) []runView {
	t.Helper()
	var all []runView
	for after := ""; ; {
		var page struct {
			Items []runView
			Next  string
		}
		s.must(t, http.MethodGet, "/v1/runs?limit=200&after="+url.QueryEscape(after), 200, nil, &page)
		all = append(all, page.Items...)
		if after = page.Next; after == "" {
			return all
		}
	}
}

func (s *shop) run(t *testing.T, id string) runView {
	t.Helper()
	var r runView
	s.must(t, http.MethodGet, "/v1/runs/"+id, 200, nil, &r)
	return r
}

// reach waits until so many runs are in the state.
func (s *shop) reach(t *testing.T, patience time.Duration, state string, want int) []runView {
	t.Helper()
	var all []runView
	eventually(t, patience, fmt.Sprintf("%d runs are %s", want, state), func() bool {
		all = s.runs(t)
		n := 0
		for _, r := range all {
			if r.State == state {
				n++
			}
		}
		return n >= want
	})
	return all
}

// bills requires exactly one bill for each of the orders, and no other.
func (s *shop) bills(t *testing.T, orders ...string) {
	t.Helper()
	var billed []string
	for _, b := range s.books.Bills() {
		billed = append(billed, b.Order)
	}
	require.ElementsMatch(t, orders, billed)
}

// stalled waits until so many calls hang in the bookkeeper.
func (s *shop) stalled(t *testing.T, want int64) {
	t.Helper()
	eventually(t, 20*time.Second, "the bookkeeper is being called", func() bool { return s.books.Stats().Stalled >= want })
}
