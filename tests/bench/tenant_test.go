package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/tenonhq/tenon/schema/seal"
)

//go:embed order-to-bill.yaml
var document []byte

// client speaks JSON with one bearer key and keeps its connections.
type client struct {
	base, key, namespace string
	http                 *http.Client
}

func newClient(base, key string, roots *x509.CertPool) client {
	return client{base: base, key: key, http: &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		MaxIdleConns: outstanding, MaxIdleConnsPerHost: outstanding,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}}
}

func (c client) send(ctx context.Context, method, path string, body []byte, header http.Header) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header = header
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if c.namespace != "" {
		req.Header.Set("X-Namespace", c.namespace)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// do sends a request that must succeed and decodes its answer.
func (c client) do(b *testing.B, method, path string, in, out any) {
	b.Helper()
	kind, body := "application/json", []byte(nil)
	switch v := in.(type) {
	case nil:
	case []byte:
		kind, body = "application/yaml", v
	default:
		var err error
		body, err = json.Marshal(v)
		require.NoError(b, err)
	}
	status, text, err := c.send(b.Context(), method, path, body, http.Header{"Content-Type": {kind}})
	require.NoError(b, err)
	require.Less(b, status, 300, "%s %s: %s", method, path, text)
	if out != nil {
		require.NoError(b, json.Unmarshal(text, out))
	}
}

// target is a system that bills are created in.
type target struct {
	host, token, ca string
}

// tenant is an organization with a connection, a flow and a webhook source.
type tenant struct {
	organization string
	client
	hook   string
	signer *standardwebhooks.Webhook
	// door sends webhooks at a third of what net/http's client costs: the load
	// generator has the same processors as what it measures.
	door *fasthttp.HostClient
}

// administrator is a client with the platform's first key.
func (p *platform) administrator(b *testing.B) client {
	b.Helper()
	key, err := os.ReadFile(filepath.Join(p.data, "admin.key"))
	require.NoError(b, err)
	return newClient("http://"+p.api, strings.TrimSpace(string(key)), nil)
}

// organization makes an organization and waits until it can be used.
func (p *platform) organization(b *testing.B, admin client) (id string) {
	b.Helper()
	var org struct{ ID, State string }
	admin.do(b, "POST", "/v1/organizations", map[string]any{"name": "Bench " + strconv.FormatInt(time.Now().UnixNano(), 36)}, &org)
	until(b, time.Minute, "the cell is provisioned", func() bool {
		admin.do(b, "GET", "/v1/organizations/"+org.ID, nil, &org)
		return org.State == "active"
	})
	return org.ID
}

func (p *platform) tenant(b *testing.B, to target) *tenant {
	b.Helper()
	admin := p.administrator(b)
	return p.equip(b, admin, p.organization(b, admin), to)
}

// equip gives an organization a connection, a flow and a source.
func (p *platform) equip(b *testing.B, admin client, organization string, to target) *tenant {
	b.Helper()
	var issued struct{ Key string }
	admin.do(b, "POST", "/v1/keys", map[string]any{"organization": organization, "name": "bench", "permissions": []string{"*"}}, &issued)
	all := newClient("http://"+p.api, issued.Key, nil)
	all.do(b, "POST", "/v1/namespaces", map[string]any{"name": "prod"}, nil)
	all.do(b, "POST", "/v1/keys", map[string]any{"name": "bench prod", "namespace": "prod", "permissions": []string{"*"}}, &issued)
	t := &tenant{organization: organization, client: newClient("http://"+p.api, issued.Key, nil), door: &fasthttp.HostClient{
		Addr: p.api, MaxConns: outstanding, MaxConnWaitTimeout: time.Minute, ReadTimeout: time.Minute, WriteTimeout: time.Minute,
	}}
	t.namespace = "prod"
	t.connect(b, to)
	var f struct{ Flow struct{ ID string } }
	t.do(b, "POST", "/v1/flows", document, &f)
	var s struct{ Path, Secret string }
	t.do(b, "POST", "/v1/sources", map[string]any{"name": "shop", "flow": f.Flow.ID, "verifier": "standard-webhooks"}, &s)
	t.hook = s.Path
	var err error
	t.signer, err = standardwebhooks.NewWebhook(s.Secret)
	require.NoError(b, err)
	return t
}

func (t *tenant) connect(b *testing.B, to target) {
	b.Helper()
	var c struct{ ID string }
	use := seal.Use{Hosts: []string{to.host}, Inject: seal.Injection{Scheme: seal.SchemeBearer}, CA: to.ca}
	t.do(b, "POST", "/v1/connections", map[string]any{
		"name": "books", "connector": "http", "settings": map[string]any{"base_url": "https://" + to.host}, "use": use,
		"idempotency_header": "Idempotency-Key",
	}, &c)
	var s struct {
		PublicKey    seal.PublicKey `json:"public_key"`
		Organization string         `json:"organization"`
		Connection   string         `json:"connection"`
		Version      int            `json:"version"`
		Use          seal.Use       `json:"use"`
	}
	t.do(b, "GET", "/v1/connections/"+c.ID+"/sealing", nil, &s)
	sealed, err := seal.SealCredential(s.PublicKey, seal.Credential{
		Organization: s.Organization, Connection: s.Connection, Version: s.Version, Use: s.Use,
		Values: map[string]string{"token": to.token},
	})
	require.NoError(b, err)
	t.do(b, "PUT", "/v1/connections/"+c.ID+"/credential", map[string]any{"sealed": sealed, "version": s.Version}, nil)
}

// post sends one signed event; anything but an acknowledgement is an error.
func (t *tenant) post(_ context.Context, order string) error {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	if err := t.sign(req, order); err != nil {
		return err
	}
	if err := t.door.Do(req, resp); err != nil {
		return err
	}
	return acknowledged(resp)
}

// sign makes the request that sends an order.
func (t *tenant) sign(req *fasthttp.Request, order string) error {
	body := orderBody(order)
	now := time.Now()
	signature, err := t.signer.Sign(order, now, body)
	if err != nil {
		return err
	}
	req.Header.SetMethod(http.MethodPost)
	req.SetRequestURI("http://" + t.door.Addr + t.hook)
	req.Header.SetContentType("application/json")
	req.Header.Set("Webhook-Id", order)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Webhook-Signature", signature)
	req.SetBodyRaw(body)
	return nil
}

func acknowledged(resp *fasthttp.Response) error {
	if resp.StatusCode() != http.StatusAccepted {
		return fmt.Errorf("the event was answered %d: %s", resp.StatusCode(), resp.Body())
	}
	return nil
}

// completed counts the runs and demands that each has completed.
func (t *tenant) completed(b *testing.B) int {
	b.Helper()
	states := t.states(b)
	n := states["completed"]
	delete(states, "completed")
	require.Empty(b, states)
	return n
}

// states counts the runs by their state.
func (t *tenant) states(b *testing.B) map[string]int {
	b.Helper()
	states := map[string]int{}
	list(b, t, "runs", func(r struct{ State string }) { states[r.State]++ })
	return states
}

// begun are the times from the receipt of each event since then to its run, which begins
// at once: the API's transaction, the bell, and the relay.
func (t *tenant) begun(b *testing.B, since time.Time) (took []time.Duration) {
	b.Helper()
	received := map[string]time.Time{}
	type event struct {
		ID         string
		ReceivedAt time.Time `json:"received_at"`
	}
	type run struct {
		Event     string
		CreatedAt time.Time `json:"created_at"`
	}
	list(b, t, "events", func(e event) {
		if e.ReceivedAt.After(since) {
			received[e.ID] = e.ReceivedAt
		}
	})
	list(b, t, "runs", func(r run) {
		if at, ok := received[r.Event]; ok {
			took = append(took, r.CreatedAt.Sub(at))
		}
	})
	require.Len(b, took, len(received))
	return took
}

// list reads all pages of a list.
func list[T any](b *testing.B, t *tenant, what string, each func(T)) {
	b.Helper()
	after := ""
	for {
		var page struct {
			Items []T
			Next  string
		}
		t.do(b, "GET", "/v1/"+what+"?limit=200&after="+after, nil, &page)
		for _, item := range page.Items {
			each(item)
		}
		if after = page.Next; after == "" {
			return
		}
	}
}

func orderBody(id string) []byte {
	return []byte(`{"id":"` + id + `","vendor":"Nordholz Timber","currency":"eur","placed_at":"2026-11-22T09:30:00Z","channel":"web",` +
		`"customer":{"name":"Ada Byron","email":"Ada@Example.com","street":"1 Beam Street","city":"Oxford"},` +
		`"lines":[{"sku":"OAK-40","title":"Oak board 40 mm","qty":4,"price":32.5},` +
		`{"sku":"DOWEL-8","title":"Dowel 8 mm","qty":100,"price":0.12},{"sku":"GLUE-1","title":"Wood glue 1 kg","qty":2,"price":11.9}]}`)
}
