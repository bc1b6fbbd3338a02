package activities

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

const (
	clientSecret = "canary-client-secret-5e1f"
	refreshToken = "canary-refresh-token-5e1f"
)

// issuer is a token endpoint that gives what the test says.
type issuer struct {
	*httptest.Server
	asked  atomic.Int32
	answer atomic.Value // of func() (status int, body string)
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	i.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		if _, secret, _ := r.BasicAuth(); secret != clientSecret || !strings.HasPrefix(r.PostFormValue("refresh_token"), "canary-refresh-token") {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		status, body := i.answer.Load().(func() (int, string))()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) give(status int, body string) {
	i.answer.Store(func() (int, string) { return status, body })
}

func (i *issuer) issue(access string) {
	i.give(http.StatusOK, `{"access_token":"`+access+`","token_type":"Bearer","expires_in":3600,"refresh_token":"canary-refresh-token-next"}`)
}

// grant makes the rig's books an OAuth2 connection, saved as the API does.
func (i *issuer) grant(r *rig) store.Connection {
	r.Helper()
	setup := r.setup
	setup.Use.Inject = seal.Injection{Scheme: seal.SchemeOAuth2, OAuth2: &seal.OAuth2{
		Grant: seal.GrantRefreshToken, TokenURL: i.URL + "/token",
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw})),
	}}
	row := r.connect("granted", setup)
	r.grantVersion(row, setup, 1)
	return row
}

func (r *rig) grantVersion(row store.Connection, setup config.Connection, version int) {
	r.Helper()
	inner, err := seal.SealCredential(r.private.Public(), seal.Credential{
		Organization: r.org, Connection: row.ID, Version: version, Use: setup.Use,
		Values: map[string]string{"client_id": "shop", "client_secret": clientSecret, "refresh_token": refreshToken},
	})
	require.NoError(r, err)
	r.put(row.ID, version, r.data.Seal(place.Credential(r.org, row.ID, version), inner))
}

func (p *process) billOver(connection, order string) (*run, *problem) {
	p.rig.Helper()
	n := p.rig.start(p.rig.deploy(strings.ReplaceAll(billFlow, "use: books", "use: "+connection)), `{"order":"`+order+`"}`)
	res := p.done(n.whole(billTask))
	if res.Fault == nil {
		return n, nil
	}
	var told problem
	require.NoError(p.rig, json.Unmarshal([]byte(p.value(n, res.Fault.Ref)), &told))
	return n, &told
}

// TestOAuth2Calls: the cell fetches a token and the connector's request goes out
// with it; one that the system takes no more is replaced and the request made
// again, as one effect. No secret is in a log or a row.
func TestOAuth2Calls(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		i := newIssuer(r.T)
		row, p := i.grant(r), r.process()
		i.issue(r.book.Token())
		_, failed := p.billOver("granted", "O-1")
		require.Nil(r, failed)
		_, failed = p.billOver("granted", "O-2")
		require.Nil(r, failed)
		assert.EqualValues(r, 1, i.asked.Load())
		assert.Equal(r, 2, r.book.Stats().Bills)

		// The provider revoked it before its time: one more request, one bill.
		i.issue("canary-access-token-that-is-stale")
		p.ahead(2 * time.Hour)
		_, failed = p.billOver("granted", "O-3")
		require.NotNil(r, failed, "a token of this moment that is not taken is not replaced")
		require.Equal(r, http.StatusUnauthorized, failed.Status)
		assert.EqualValues(r, 2, i.asked.Load())
		i.issue(r.book.Token())
		p.ahead(2*time.Hour + time.Minute)
		n, failed := p.billOver("granted", "O-4")
		require.Nil(r, failed)
		assert.EqualValues(r, 3, i.asked.Load())
		stats := r.book.Stats()
		assert.Equal(r, 3, stats.Bills)
		assert.Zero(r, stats.Duplicates)
		require.Len(r, n.effects(), 1)
		assert.Equal(r, store.EffectDone, n.effects()[0].State)

		kept, err := r.api.Work().ListTokens(r.Context())
		require.NoError(r, err)
		require.Len(r, kept, 1)
		for _, secret := range []string{clientSecret, refreshToken, "canary-refresh-token-next", r.book.Token()} {
			assert.NotContains(r, r.logged(), secret)
			assert.NotContains(r, string(kept[0].Sealed), secret)
		}
		// A revoked credential leaves no token behind.
		told := config.CredentialCommand{Connection: row.ID, Act: config.CredentialRevoked, Version: 1}
		command := r.told(told)
		command.Seq = 1000
		require.NoError(r, p.Told(r.Context(), command, told))
		kept, err = r.api.Work().ListTokens(r.Context())
		require.NoError(r, err)
		assert.Empty(r, kept)
	})
}

// TestOAuth2Suspends: a provider that refuses the grant suspends the connection,
// and says why, until the credential is entered again.
func TestOAuth2Suspends(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.Keys)
	i := newIssuer(t)
	row, p := i.grant(r), r.process()
	i.give(http.StatusBadRequest, `{"error":"invalid_grant","error_description":"no such token: `+refreshToken+`"}`)
	for range 3 {
		_, failed := p.billOver("granted", "O-1")
		require.NotNil(t, failed)
		assert.Equal(t, flow.ErrorType(flow.TypeAuthorization), failed.Type)
		assert.Contains(t, failed.Detail, "suspended")
		assert.Contains(t, failed.Detail, "invalid_grant")
		assert.NotContains(t, failed.Detail+r.logged(), "canary")
	}
	assert.EqualValues(t, 1, i.asked.Load(), "the provider is not asked again")
	entries, err := r.cell.Work().ListAudit(t.Context(), store.AuditFilter{Action: "connection.suspended", Target: row.ID})
	require.NoError(t, err)
	assert.Len(t, entries, 1)

	i.issue(r.book.Token())
	setup, err := p.setup(row)
	require.NoError(t, err)
	r.grantVersion(row, setup.Connection, 2)
	_, failed := p.billOver("granted", "O-1")
	require.Nil(t, failed)
	assert.Equal(t, 1, r.book.Stats().Bills)
}

// TestOAuth2TestCall: what a test call of a new version shows, and that a bad one
// harms nothing that is in use.
func TestOAuth2TestCall(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.Keys)
	i := newIssuer(t)
	row, p := i.grant(r), r.process()
	setup, err := p.setup(row)
	require.NoError(t, err)
	setup.Settings = json.RawMessage(`{"base_url":"` + r.book.URL() + `","test_path":"/suppliers"}`)
	r.resettle(row, setup.Connection)
	i.issue(r.book.Token())
	require.NoError(t, p.Prove(t.Context(), r.namespace, row.ID, 1))
	_, failed := p.billOver("granted", "O-1")
	require.Nil(t, failed)

	r.grantVersion(row, setup.Connection, 2)
	i.give(http.StatusBadRequest, `{"error":"invalid_grant"}`)
	err = p.Prove(t.Context(), r.namespace, row.ID, 2)
	require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
	assert.Contains(t, err.Error(), "invalid_grant")
	entries, err := r.cell.Work().ListAudit(t.Context(), store.AuditFilter{Action: "connection.suspended"})
	require.NoError(t, err)
	assert.Empty(t, entries)

	r.grantVersion(row, setup.Connection, 3)
	i.issue("canary-access-token-wrong")
	require.Equal(t, schema.CodeRefused, schema.CodeOf(p.Prove(t.Context(), r.namespace, row.ID, 3)))
	r.grantVersion(row, setup.Connection, 4)
	i.give(http.StatusServiceUnavailable, "")
	require.Equal(t, schema.CodeUnavailable, schema.CodeOf(p.Prove(t.Context(), r.namespace, row.ID, 4)))
	require.Equal(t, schema.CodeNotFound, schema.CodeOf(p.Prove(t.Context(), r.namespace, row.ID, 9)))
}

// TestOAuth2EndpointDown: a provider that does not answer is another system's
// failure, which the flow sees; nothing was sent to the system.
func TestOAuth2EndpointDown(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.Keys)
	i := newIssuer(t)
	i.grant(r)
	i.give(http.StatusBadGateway, "canary")
	n, failed := r.process().billOver("granted", "O-1")
	require.NotNil(t, failed)
	assert.Equal(t, flow.ErrorType(flow.TypeCommunication), failed.Type)
	assert.Contains(t, failed.Detail, "token endpoint")
	assert.Empty(t, n.effects())
	assert.NotContains(t, failed.Detail+r.logged(), "canary")
}
