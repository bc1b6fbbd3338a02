package activities

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// pager is who is told of alerts: an HTTPS server that checks signatures with
// the vendor's own library.
type pager struct {
	r      *rig
	server *httptest.Server
	conn   store.Connection
	secret string

	mu     sync.Mutex
	answer int
	bodies []string
	told   []config.AlertBody
}

const alertSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func newPager(r *rig, kinds ...string) *pager {
	r.Helper()
	p := &pager{r: r, answer: http.StatusNoContent, secret: alertSecret}
	p.server = httptest.NewTLSServer(p)
	r.Cleanup(p.server.Close)
	host := strings.TrimPrefix(p.server.URL, "https://")
	use := seal.Use{
		Hosts: []string{host}, Inject: seal.Injection{Scheme: seal.SchemeBearer},
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})),
	}
	p.conn = r.connect("pager", config.Connection{Settings: json.RawMessage(`{"base_url":"` + p.server.URL + `"}`), Use: use})
	r.credential(p.conn.ID, p.conn.ID, 1, use, "pager-token")
	target := config.AlertTarget{Connection: p.conn.ID, Path: "/alerts", Kinds: kinds, Secret: p.secret}
	require.NoError(r, r.api.Door().PutAlertTarget(r.Context(), store.AlertTarget{
		Namespace: r.namespace, ConfigSealed: r.data.Seal(place.AlertTarget(r.org, r.namespace), mustJSONOf(r.T, target)),
	}, draft()))
	return p
}

func (p *pager) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil || req.URL.Path != "/alerts" || req.Header.Get("Authorization") != "Bearer pager-token" {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	hook, err := standardwebhooks.NewWebhook(p.secret)
	if err == nil {
		err = hook.Verify(body, req.Header)
	}
	if err != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var told config.AlertBody
	if p.answer < 300 && json.Unmarshal(body, &told) == nil {
		p.bodies, p.told = append(p.bodies, string(body)), append(p.told, told)
	}
	w.WriteHeader(p.answer)
}

func (p *pager) answers(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = status
}

// fails has the run's one step done, and the run ended by a timeout.
func (n *run) fails(p *process) {
	n.rig.Helper()
	require.Nil(n.rig, p.done(n.plain("/do/0/t", task.PhaseWhole, "")).Fault)
	timeout := &task.Fault{Type: flow.TypeTimeout, Status: 408}
	require.NoError(n.rig, p.Finish(n.rig.Context(), task.FinishRequest{Owner: n.owner(), Key: ":finish", Fault: timeout}))
	require.Equal(n.rig, store.RunFailed, n.row().State)
}

// due are the alerts that the cell has to send, in the order in which they were raised.
func (r *rig) due() []store.Alert {
	r.Helper()
	all, err := r.cell.Work().ListAlerts(r.Context(), r.namespace, store.Page{})
	require.NoError(r, err)
	slices.Reverse(all)
	return slices.DeleteFunc(all, func(a store.Alert) bool { return a.State != store.AlertPending })
}

// TestAlertsAreTold: of a run that waits for a person, of one that failed and of a
// connection that was suspended, somebody is told: signed, over a connection with
// its credential, and without a word of what runs were given.
func TestAlertsAreTold(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		pager := newPager(r, store.AlertUncertain, store.AlertFailed, store.AlertSuspended)
		p := r.process()
		require.NoError(r, r.book.Control(ledger.Control{Count: 1, Drop: true, When: ledger.After}))
		n := r.order("O-secret", "books")
		require.True(r, p.done(n.whole(billTask)).Stopped)
		failed := r.start(r.deploy("\ndo: [{t: {set: {a: 1}}}]\n"), `{"order":"O-secret"}`)
		failed.fails(p)
		require.Error(r, p.custody.suspend(r.Context(), r.conn, 1, "it was tampered with"))
		require.Error(r, p.custody.suspend(r.Context(), r.conn, 1, "once more"))

		all := r.due()
		require.Len(r, all, 3)
		kinds := map[string]store.Alert{}
		for _, a := range all {
			kinds[a.Kind] = a
		}
		require.Equal(r, n.Flow, kinds[store.AlertUncertain].Subject)
		require.Equal(r, n.ID, kinds[store.AlertUncertain].Run)
		require.Equal(r, failed.ID, kinds[store.AlertFailed].Run)
		require.Equal(r, r.conn.ID, kinds[store.AlertSuspended].Subject)

		pager.answers(http.StatusInternalServerError)
		heard, audit, err := p.Tell(r.Context(), all[0])
		require.Error(r, err)
		require.True(r, heard)
		require.Len(r, audit, 1, "the credential was used all the same")
		pager.answers(http.StatusNoContent)
		for _, a := range all {
			heard, audit, err := p.Tell(r.Context(), a)
			require.NoError(r, err)
			require.True(r, heard)
			require.Len(r, audit, 2)
			require.Equal(r, []string{"credential.used", "alert.sent"}, []string{audit[0].Action, audit[1].Action})
		}
		require.Len(r, pager.told, 3)
		for i, b := range pager.told {
			require.Equal(r, all[i].Kind, b.Type)
			require.Equal(r, all[i].ID, b.Data.Alert)
			require.Equal(r, r.org, b.Data.Organization)
			require.NotEmpty(r, b.Text)
			require.NotContains(r, pager.bodies[i], "secret")
			require.NotContains(r, pager.bodies[i], r.book.Token())
		}
		require.NotContains(r, r.logged(), alertSecret)
	})
}

// TestAlertsThatNobodyWants: a kind that was not asked for is heard by nobody, and
// a failed run is no alert then; who tampers with the target has nothing sent.
func TestAlertsThatNobodyWants(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		p := r.process()
		failed := r.start(r.deploy("\ndo: [{t: {set: {a: 1}}}]\n"), `{}`)
		failed.fails(p)
		require.Empty(r, r.due(), "of a namespace without a target")
		require.NoError(r, r.book.Control(ledger.Control{Count: 1, Drop: true, When: ledger.After}))
		require.True(r, p.done(r.order("O-1", "books").whole(billTask)).Stopped)
		all := r.due()
		require.Len(r, all, 1)
		heard, _, err := p.Tell(r.Context(), all[0])
		require.NoError(r, err)
		require.False(r, heard)

		pager := newPager(r, store.AlertSuspended)
		heard, _, err = p.Tell(r.Context(), all[0])
		require.NoError(r, err)
		require.False(r, heard)
		failed = r.start(r.deploy("\ndo: [{t: {set: {a: 2}}}]\n"), `{}`)
		failed.fails(p)
		require.Len(r, r.due(), 1)

		// Another namespace's target, and one that is nobody's.
		_, err = r.backend.Administrator(r.T, r.made, "door").ExecContext(r.Context(), "UPDATE alert_targets SET config_sealed = "+
			map[string]string{"sqlite": "X'0101'", "postgres": `'\x0101'`}[r.backend.Name])
		require.NoError(r, err)
		failed = r.start(r.deploy("\ndo: [{t: {set: {a: 3}}}]\n"), `{}`)
		failed.fails(p) // It ends all the same.
		require.Len(r, r.due(), 2)
		_, _, err = p.Tell(r.Context(), store.Alert{ID: "alert_1", Namespace: r.namespace, Kind: store.AlertSuspended, Subject: r.conn.ID})
		require.Error(r, err)
		require.Empty(r, pager.told)
	})
}
