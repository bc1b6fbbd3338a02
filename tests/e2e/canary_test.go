package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/codec"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// marked begins every secret of these tests, so that one search finds any, also
// one in lower case.
const marked = "canary-in-use-9f3a71c5"

// credentials are values for every type, and how they are injected.
func credentials(t *testing.T, way, tokens, authority string) map[string]seal.Credential {
	t.Helper()
	secret := func(name string) string { return marked + way + name + strings.Repeat("q7Zx", 4) }
	of := func(in seal.Injection, values map[string]string) seal.Credential {
		return seal.Credential{Use: seal.Use{Inject: in}, Values: values}
	}
	certificate, private := clientCertificate(t)
	all := map[string]seal.Credential{
		seal.SchemeBearer: of(seal.Injection{}, map[string]string{"token": secret("token")}),
		seal.SchemeHeader: of(seal.Injection{Name: "X-Key"}, map[string]string{"value": secret("header")}),
		seal.SchemeQuery:  of(seal.Injection{Name: "key"}, map[string]string{"value": secret("query")}),
		seal.SchemeBasic:  of(seal.Injection{}, map[string]string{"username": secret("user"), "password": secret("password")}),
		seal.SchemeOAuth2: of(seal.Injection{OAuth2: &seal.OAuth2{Grant: seal.GrantRefreshToken, TokenURL: tokens, CA: authority}}, map[string]string{
			"client_id": secret("client"), "client_secret": secret("secret"), "refresh_token": secret("refresh"),
		}),
		seal.SchemeHMAC: of(seal.Injection{Name: "X-Signature", HMAC: &seal.HMAC{
			Hash: "sha256", Encoding: "hex", Signed: []string{"key_id", "body"}, KeyIDHeader: "X-Key-Id",
		}}, map[string]string{"secret": secret("hmac"), "key_id": secret("keyid")}),
		seal.SchemeSigV4: of(seal.Injection{SigV4: &seal.SigV4{Region: "eu-central-1", Service: "sqs"}}, map[string]string{
			"access_key_id": secret("id"), "secret_access_key": secret("key"), "session_token": secret("session"),
		}),
		seal.SchemeMTLS: of(seal.Injection{}, map[string]string{"certificate": certificate, "private_key": private}),
		seal.SchemeFree: of(seal.Injection{Headers: []seal.Placement{{Name: "X-One", Value: "one"}, {Name: "X-Two", Value: "two"}}}, map[string]string{
			"one": secret("one"), "two": secret("two"),
		}),
	}
	require.Len(t, all, len(seal.Schemes()))
	return all
}

func clientCertificate(t *testing.T) (certificate, private string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * 300 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// parrot is a system that takes every credential and gives back all that it was
// sent, in several encodings; it issues tokens, too. A call waits until it is let go.
type parrot struct {
	*httptest.Server
	called chan string
	letGo  chan struct{}
	ended  chan struct{}
}

func newParrot(t *testing.T) *parrot {
	t.Helper()
	p := &parrot{called: make(chan string), letGo: make(chan struct{}), ended: make(chan struct{})}
	p.Server = httptest.NewUnstartedServer(p)
	p.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	p.StartTLS()
	t.Cleanup(func() {
		close(p.ended)
		close(p.letGo)
		p.Close()
	})
	return p
}

func (p *parrot) authority() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}))
}

func (p *parrot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.URL.Path == "/token" {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": marked + "access" + strings.Repeat("q7Zx", 4), "token_type": "Bearer", "expires_in": 3600, "refresh_token": marked + "next" + strings.Repeat("q7Zx", 4),
		})
		return
	}
	said := "nothing"
	if strings.Contains(r.RequestURI, marked) || len(r.TLS.PeerCertificates) > 0 || r.Header.Get("X-Signature") != "" {
		said = "something"
	}
	for _, values := range r.Header {
		for _, v := range values {
			plain, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(v, "Basic "))
			if strings.Contains(v, marked) || bytes.Contains(plain, []byte(marked)) {
				said = "something"
			}
		}
	}
	select {
	case p.called <- strings.TrimPrefix(r.URL.Path, "/") + " was sent " + said:
		<-p.letGo
	case <-p.ended:
	}
	var dump bytes.Buffer
	_ = r.Header.Write(&dump)
	dump.WriteString(r.RequestURI)
	dump.Write(body)
	for name, values := range r.Header {
		w.Header()["X-Echo-"+name] = values
	}
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(r.URL.Path, "/refused") {
		w.WriteHeader(http.StatusBadRequest)
	}
	_ = json.NewEncoder(w).Encode(map[string]string{
		"text": dump.String(), "base64": base64.StdEncoding.EncodeToString(dump.Bytes()), "hex": hex.EncodeToString(dump.Bytes()),
	})
}

// TestCredentialsInUse: Invariant 1. A credential of every type, entered in
// either way, is used on a running platform that logs all that it can, with a
// system that gives back what it was sent. While each is used and after, no
// process but the cell's worker has one in memory; and no log of any process, no
// file and no table, no history of the engine, opened, and no answer has one.
func TestCredentialsInUse(t *testing.T) {
	t.Parallel()
	if !asRoot(t) {
		return
	}
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			env := db.env(t)
			p := newPlatform(t, append(env, "TENON_LOG_LEVEL=debug", "TENON_CELL_IDLE=0")...)
			p.start(t)
			s := newShop(t, p, ledger.Keys, nil)
			target := newParrot(t)
			secrets := shapes(marked)
			delete(secrets, "first half")
			delete(secrets, "second half")
			var document strings.Builder
			document.WriteString("\ndocument: {dsl: '1.0.3', namespace: e2e, name: uses, version: '1.0.0'}\ndo:")
			var calls []string
			for _, way := range []string{"sealed", "clear"} {
				for scheme, c := range credentials(t, way, target.URL+"/token", target.authority()) {
					name := scheme + "-" + way
					s.enter(t, target, name, scheme, way, c)
					if key, _ := pem.Decode([]byte(c.Values["private_key"])); key != nil {
						secrets[name+" DER"], secrets[name+" PEM"] = key.Bytes, []byte(strings.Split(c.Values["private_key"], "\n")[1])
					}
					for _, path := range []string{name, name + "/refused"} {
						calls = append(calls, path+" was sent something")
						fmt.Fprintf(&document, `
  - %s:
      try: [{ask: {call: http, with: {method: post, endpoint: {uri: /%s, authentication: {use: %s}}, body: {n: 1}, output: response}}}]
      catch: {}`, strings.ReplaceAll(path, "/", "-"), path, name)
					}
				}
			}
			document.WriteString("\n")
			var made struct{ Flow struct{ ID string } }
			s.must(t, http.MethodPost, "/v1/flows", 201, []byte(document.String()), &made)
			var run struct{ Run struct{ ID string } }
			s.must(t, http.MethodPost, "/v1/flows/"+made.Flow.ID+"/runs", 202, map[string]any{"input": map[string]any{}}, &run)

			own, _ := search(t, os.Getpid(), secrets)
			require.Contains(t, own, "raw", "the search finds what is there")
			for range calls {
				select {
				case call := <-target.called:
					require.Contains(t, calls, call)
					// Whose memory holds it does not depend on the database.
					if db.name == "SQLite" && !strings.Contains(call, "refused") {
						require.Empty(t, p.holding(t, secrets), "while it is used: %s", call)
					}
					target.letGo <- struct{}{}
				case <-time.After(time.Minute):
					t.Fatal("the flow does not go on")
				}
			}
			ended := s.reach(t, 30*time.Second, "completed", 1)
			require.Empty(t, p.holding(t, secrets), "after use")

			for _, path := range []string{
				"/v1/runs", "/v1/runs/" + ended[0].ID, "/v1/events", "/v1/events/" + ended[0].Event, "/v1/audit?limit=200", "/v1/audit/export", "/v1/credentials", "/v1/connections", "/v1/dead-letters", "/v1/alerts",
			} {
				status, text, err := p.call(t, s.key, "prod", http.MethodGet, path, nil)
				require.NoError(t, err)
				require.Equal(t, http.StatusOK, status, path)
				notIn(t, secrets, text, path)
			}
			notIn(t, secrets, p.histories(t, s.org), "the engine's histories, opened")
			require.Contains(t, p.logs(), "level=DEBUG")
			notIn(t, secrets, []byte(p.logs()), "the logs")
			p.stop(t)
			notIn(t, secrets, []byte(p.logs()), "the logs")
			notIn(t, secrets, p.stored(t, env, s.org), "what is stored")
		})
	}
}

// enter makes a connection to the target and enters the credential.
func (s *shop) enter(t *testing.T, target *parrot, name, scheme, way string, c seal.Credential) {
	t.Helper()
	c.Use.Hosts, c.Use.CA, c.Use.Inject.Scheme = []string{target.Listener.Addr().String()}, target.authority(), scheme
	s.must(t, http.MethodPost, "/v1/connections", 201, map[string]any{
		"name": name, "connector": "http", "settings": map[string]any{"base_url": target.URL}, "use": c.Use,
	}, nil)
	path := "/v1/connections/" + name + "/credential"
	if way == "clear" {
		s.must(t, http.MethodPut, path, 200, map[string]any{"values": c.Values}, nil)
		return
	}
	var to struct {
		PublicKey seal.PublicKey `json:"public_key"`
		seal.Credential
	}
	s.must(t, http.MethodGet, "/v1/connections/"+name+"/sealing", 200, nil, &to)
	to.Values = c.Values
	sealed, err := seal.SealCredential(to.PublicKey, to.Credential)
	require.NoError(t, err)
	s.must(t, http.MethodPut, path, 200, map[string]any{"sealed": sealed, "version": to.Version}, nil)
}

// histories are the payloads of all workflows of the organization, opened as
// who has all its keys can, and everything around them.
func (p *platform) histories(t *testing.T, organization string) []byte {
	t.Helper()
	opened := p.hostKeys(t, organization)
	opens := codec.New(organization, keystore.Set(opened.DataKeys, opened.AuditKeys))
	engine := p.operator(t, organization)
	list, err := engine.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{})
	require.NoError(t, err)
	require.NotEmpty(t, list.GetExecutions())
	var out bytes.Buffer
	payloads := 0
	for _, w := range list.GetExecutions() {
		events := engine.GetWorkflowHistory(t.Context(), w.GetExecution().GetWorkflowId(), "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			require.NoError(t, err)
			require.NoError(t, proxy.VisitPayloads(t.Context(), event, proxy.VisitPayloadsOptions{
				SkipSearchAttributes: true,
				Visitor: func(_ *proxy.VisitPayloadsContext, all []*commonpb.Payload) ([]*commonpb.Payload, error) {
					payloads += len(all)
					return opens.Decode(all)
				},
			}))
			text, err := proto.Marshal(event)
			require.NoError(t, err)
			out.Write(text)
		}
	}
	require.NotZero(t, payloads)
	return out.Bytes()
}

// stored is every file of the data directory but the keys, and on PostgreSQL
// every value of every table of the platform and of the organization.
func (p *platform) stored(t *testing.T, env []string, organization string) []byte {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, filepath.WalkDir(p.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		out.Write(text)
		return err
	}))
	for _, setting := range env {
		if url, ok := strings.CutPrefix(setting, "TENON_POSTGRES_URL="); ok {
			_, id, _ := strings.Cut(organization, "_")
			b := storetest.Backend{Name: "postgres", ControlURL: url}
			tables, values := b.Dump(t, store.Provisioned{API: store.CellURLs{Door: "postgres:///tenon_" + id}})
			require.Contains(t, tables, "work.runs")
			require.Contains(t, tables, "control.organizations")
			out.Write(values)
		}
	}
	require.Greater(t, out.Len(), 1<<16)
	return out.Bytes()
}
