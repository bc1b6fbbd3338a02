package isolation_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/activities/platform"
	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/connectors"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/schema/token"
)

// site is an API on real databases, with the activities of a host.
type site struct {
	*testing.T
	backend storetest.Backend
	control *store.Control
	keys    *keystore.Store
	root    seal.PrivateKey
	private seal.PrivateKey
	signer  token.Signer
	host    *platform.Platform
	api     *api.Server
	close   func() error
	url     string
	admin   string
}

// each stands the site up on both databases.
func each(t *testing.T, test func(*site)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) { on(t, b, test) })
}

func on(t *testing.T, b storetest.Backend, test func(*site)) {
	t.Helper()
	s := &site{T: t, backend: b, control: b.Control(t)}
	var err error
	s.root, err = seal.NewPrivateKey()
	require.NoError(t, err)
	s.private, err = seal.NewPrivateKey()
	require.NoError(t, err)
	s.signer, err = token.NewSigner()
	require.NoError(t, err)
	s.keys, err = keystore.Open(filepath.Join(t.TempDir(), "keys"))
	require.NoError(t, err)
	s.host = platform.New(platform.Config{
		Keys: s.keys, Control: s.control, Admin: b.Admin, Host: schema.NewID(schema.PrefixHost),
		Publics: func() (keystore.Publics, error) {
			return keystore.Publics{Root: s.root.Public(), API: s.private.Public()}, nil
		},
		Namespace:       func(context.Context, string) error { return nil },
		DeleteNamespace: func(context.Context, string) (bool, error) { return true, nil },
	})
	s.api, err = api.New(api.Config{
		Control: s.control, Keys: s.keys, APIKey: s.private, Operators: s.signer.Verifier(), Connectors: connectors.Builtin(),
		EngineUI: "http://127.0.0.1:8233", PlaintextCredentials: true, Limits: api.Limits{Refusals: time.Hour},
	})
	require.NoError(t, err)
	server := httptest.NewServer(s.api.Handler())
	s.url = server.URL
	s.close = sync.OnceValue(func() error {
		server.Close()
		return s.api.Close()
	})
	t.Cleanup(func() { require.NoError(t, s.close()) })
	issued := api.NewAdministratorKey()
	require.NoError(t, api.IssueAdministratorKey(t.Context(), s.control, issued))
	s.admin = string(issued.Reveal())
	test(s)
}

// reply is an answer, read. The id of the request and the time are not part of
// what is compared.
type reply struct {
	status int
	header http.Header
	body   string
}

func (s *site) call(method, path, key string, body string, headers map[string]string) reply {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(s, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+key)
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s, err)
	defer func() { require.NoError(s, resp.Body.Close()) }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(s, err)
	request := resp.Header.Get("X-Request-Id")
	resp.Header.Del("X-Request-Id")
	resp.Header.Del("Date")
	return reply{status: resp.StatusCode, header: resp.Header, body: strings.ReplaceAll(string(text), request, "REQUEST")}
}

func (s *site) must(status int, r reply, into any) {
	s.Helper()
	require.Equal(s, status, r.status, r.body)
	if into != nil {
		require.NoError(s, json.Unmarshal([]byte(r.body), into))
	}
}

// space is a namespace with one of everything; ids are by the name of the
// parameter that takes them.
type space struct {
	name, id string
	ids      map[string]string
}

// tenant is an organization with two namespaces.
type tenant struct {
	s             *site
	org           string
	key           string
	bound         string
	prod, staging space
	cell          *store.Cell
}

func (s *site) tenant(name string) *tenant {
	s.Helper()
	var made struct{ ID string }
	s.must(http.StatusCreated, s.call("POST", "/v1/organizations", s.admin, `{"name":"`+name+`"}`, nil), &made)
	o := &tenant{s: s, org: made.ID}
	for _, activity := range []func(context.Context, string) error{s.host.Keys, s.host.Databases, s.host.Activate} {
		require.NoError(s, activity(s.Context(), o.org))
	}
	s.Cleanup(func() {
		require.NoError(s, s.close())
		require.NoError(s, store.Deprovision(context.WithoutCancel(s.Context()), s.backend.Admin, o.org))
	})
	opened, err := s.keys.OpenForHost(s.Context(), o.org, s.root)
	require.NoError(s, err)
	urls, err := config.DecodeDatabases(opened.Databases[keystore.DatabaseCell])
	require.NoError(s, err)
	o.cell = storetest.Open(s, store.CellURLs{Door: urls.Door, Work: urls.Work}, store.SideCell)
	o.key = o.newKey(s.admin, `{"organization":"`+o.org+`","name":"all","permissions":["*"]}`)
	o.prod, o.staging = o.space("prod"), o.space("staging")
	o.bound = o.newKey(o.key, `{"namespace":"prod","name":"bound","permissions":["*"]}`)
	return o
}

func (o *tenant) newKey(by, body string) string {
	o.s.Helper()
	var made struct{ Key string }
	o.s.must(http.StatusCreated, o.s.call("POST", "/v1/keys", by, body, nil), &made)
	return made.Key
}

const document = `{"document":{"document":{"dsl":"1.0.3","namespace":"books","name":"billing","version":"1.0.0"},` +
	`"do":[{"bill":{"call":"http","with":{"method":"post","endpoint":{"uri":"/bills","authentication":{"use":"CONNECTION"}},"body":{"a":"b"}}}}]}}`

// space fills a namespace.
func (o *tenant) space(name string) space {
	s := o.s
	s.Helper()
	n := space{name: name, ids: map[string]string{"organization": o.org, "version": "1"}}
	var made struct{ ID string }
	s.must(http.StatusCreated, s.call("POST", "/v1/namespaces", o.key, `{"name":"`+name+`"}`, nil), &made)
	n.id, n.ids["namespace"] = made.ID, made.ID
	in := map[string]string{"X-Namespace": name}
	s.must(http.StatusCreated, s.call("POST", "/v1/connections", o.key,
		`{"name":"books","connector":"http","settings":{"base_url":"https://books.example"},"use":{"hosts":["books.example"],"inject":{"scheme":"bearer"}}}`, in), &made)
	n.ids["connection"] = made.ID
	s.must(http.StatusOK, s.call("PUT", "/v1/connections/books/credential", o.key, `{"values":{"token":"s3cret-of-`+o.org+`"}}`, in), nil)
	var deployed struct{ Flow struct{ ID string } }
	s.must(http.StatusCreated, s.call("POST", "/v1/flows", o.key, strings.ReplaceAll(document, "CONNECTION", n.ids["connection"]), in), &deployed)
	n.ids["flow"] = deployed.Flow.ID
	s.must(http.StatusCreated, s.call("POST", "/v1/sources", o.key, `{"name":"shop","flow":"billing"}`, in), &made)
	n.ids["source"] = made.ID
	var secrets struct{ Items []struct{ ID string } }
	s.must(http.StatusOK, s.call("GET", "/v1/sources/"+made.ID+"/secrets", o.key, "", in), &secrets)
	n.ids["secret"] = secrets.Items[0].ID
	s.must(http.StatusCreated, s.call("POST", "/v1/schedules", o.key, `{"name":"yearly","flow":"billing","cron":"@yearly"}`, in), &made)
	n.ids["schedule"] = made.ID
	var accepted struct{ Event string }
	s.must(http.StatusAccepted, s.call("POST", "/v1/flows/billing/runs", o.key, `{"input":{}}`, in), &accepted)
	n.ids["event"], n.ids["events"] = accepted.Event, accepted.Event
	n.ids["run"], n.ids["effect"] = o.run(n.id, accepted.Event)
	var key struct{ ID string }
	s.must(http.StatusCreated, s.call("POST", "/v1/keys", o.key, `{"namespace":"`+name+`","name":"spare","permissions":["events:read"]}`, nil), &key)
	n.ids["key"] = key.ID
	return n
}

// run makes the run that the cell would make of an event, with an effect that
// is not decided.
func (o *tenant) run(namespace, event string) (run, effect string) {
	s := o.s
	s.Helper()
	e, err := o.cell.Door().GetEvent(s.Context(), namespace, event)
	require.NoError(s, err)
	run, effect = schema.NewID(schema.PrefixRun), schema.NewID(schema.PrefixEffect)
	carrier := schema.NewID(schema.PrefixCarrier)
	require.NoError(s, o.cell.Work().StartRuns(s.Context(), []store.Run{{
		ID: run, Namespace: namespace, Event: event, EventSeq: e.Seq, Flow: e.Flow, FlowVersion: e.FlowVersion, Digest: e.Digest,
		Carrier: carrier, Epoch: 1, State: store.RunPending, CreatedAt: time.Now(),
	}}, e.Seq, nil))
	require.NoError(s, o.cell.Work().Commit(s.Context(), store.RunCommit{
		Run: run, Carrier: carrier, Epoch: 1, Effects: []store.Effect{{ID: effect, Run: run, Key: "/do/0", State: store.EffectUncertain, Epoch: 1}},
		End: &store.RunEnd{State: store.RunUncertain, At: time.Now()},
	}))
	return run, effect
}
