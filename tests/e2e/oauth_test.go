package e2e

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/seal"
)

// TestOAuth2SurvivesItsCell: a provider replaces the refresh token with each use
// and takes the second use of one for theft. Each bill takes a new access token;
// the cell is killed in between, and the next process goes on with the refresh
// token that the one before was given.
func TestOAuth2SurvivesItsCell(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.start(t)
	s := newShop(t, p, ledger.Keys, nil)

	var mu sync.Mutex
	uses, stolen := 0, false
	const secret = "canary-client-secret-oauth"
	issuer := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if _, given, _ := r.BasicAuth(); given != secret || stolen || r.PostFormValue("refresh_token") != fmt.Sprintf("canary-refresh-%d", uses) {
			stolen = true
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
			return
		}
		uses++
		w.Header().Set("Content-Type", "application/json")
		// It lasts for one call: less is left of it than a token must have to be sent again.
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": s.books.Token(), "token_type": "Bearer", "expires_in": 5, "refresh_token": fmt.Sprintf("canary-refresh-%d", uses),
		})
	}))
	defer issuer.Close()

	use := seal.Use{Hosts: []string{s.books.Address()}, CA: s.books.CA(), Inject: seal.Injection{Scheme: seal.SchemeOAuth2, OAuth2: &seal.OAuth2{
		Grant: seal.GrantRefreshToken, TokenURL: issuer.URL + "/token",
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Certificate().Raw})),
	}}}
	s.must(t, http.MethodPost, "/v1/connections", 201, map[string]any{
		"name": "granted", "connector": "http", "settings": map[string]any{"base_url": s.books.URL(), "test_path": "/suppliers"}, "use": use,
		"idempotency_header": "Idempotency-Key",
	}, nil)
	var to struct {
		PublicKey    seal.PublicKey `json:"public_key"`
		Organization string         `json:"organization"`
		Connection   string         `json:"connection"`
		Version      int            `json:"version"`
		Use          seal.Use       `json:"use"`
	}
	s.must(t, http.MethodGet, "/v1/connections/granted/sealing", 200, nil, &to)
	sealed, err := seal.SealCredential(to.PublicKey, seal.Credential{
		Organization: to.Organization, Connection: to.Connection, Version: to.Version, Use: to.Use,
		Values: map[string]string{"client_id": "shop", "client_secret": secret, "refresh_token": "canary-refresh-0"},
	})
	require.NoError(t, err)
	s.must(t, http.MethodPut, "/v1/connections/granted/credential", 200, map[string]any{"sealed": sealed, "version": to.Version}, nil)

	var f struct{ Flow struct{ ID string } }
	text := strings.Replace(strings.Replace(billing(""), "name: billing", "name: granted", 1), "use: books", "use: granted", 1)
	s.must(t, http.MethodPost, "/v1/flows", 201, []byte(text), &f)
	var hook struct{ Path, Secret string }
	s.must(t, http.MethodPost, "/v1/sources", 201, map[string]any{"name": "granted", "flow": f.Flow.ID, "verifier": "standard-webhooks"}, &hook)
	s.hooks["granted"], s.secrets["granted"] = hook.Path, hook.Secret

	s.accepted(t, "granted", "first")
	s.reach(t, 40*time.Second, "completed", 1)
	require.NoError(t, syscall.Kill(p.pid(t, "tenon-cell"), syscall.SIGKILL))
	s.accepted(t, "granted", "second")
	s.reach(t, 40*time.Second, "completed", 2)
	s.bills(t, "first", "second")
	mu.Lock()
	defer mu.Unlock()
	require.False(t, stolen, "no refresh token was used twice")
	require.GreaterOrEqual(t, uses, 2)
	require.NotContains(t, p.logs(), "canary")
}
