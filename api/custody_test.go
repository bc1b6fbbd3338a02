package api_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// learns writes what the cell would know of a connection's credential.
func (o *tenant) learns(connection string, k config.Custody) {
	o.p.t.Helper()
	plain, err := json.Marshal(k)
	require.NoError(o.p.t, err)
	host := o.p.host(o.org)
	require.NoError(o.p.t, o.p.cells[o.org].Work().PutCustody(o.p.t.Context(), store.Custody{
		Connection: connection, Namespace: o.namespace,
		RecordSealed: seal.NewDataKeys(host.DataKeys[0]).Seal(place.Custody(o.org, connection), plain),
	}))
}

// TestCredentialLife: what is shown of a credential through a rotation that
// fails, one that succeeds, a suspension and its end.
func TestCredentialLife(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p := newPlatformOn(t, t.TempDir(), b)
		o := p.tenant("acme")
		id := o.connection("books", "bearer")
		path := "/v1/connections/books/credential"
		put := func() (k api.Credential) {
			p.must(http.StatusOK, p.call("PUT", path, o.bound, `{"values":{"token":"a-token-of-some-length"}}`), &k)
			return k
		}
		get := func() (k api.Credential) {
			p.must(http.StatusOK, p.call("GET", path, o.bound, ""), &k)
			return k
		}
		k := put()
		require.Equal(t, "current", k.State)
		require.Equal(t, 1, k.InUse)
		require.WithinDuration(t, time.Now().Add(90*24*time.Hour), k.RotateBy, time.Minute)
		p.must(http.StatusOK, p.call("PATCH", "/v1/connections/books", o.bound, `{"rotation_days":180}`), nil)
		require.WithinDuration(t, time.Now().Add(180*24*time.Hour), get().RotateBy, time.Minute)
		p.must(http.StatusUnprocessableEntity, p.call("PATCH", "/v1/connections/books", o.bound, `{"rotation_days":181}`), nil)
		p.must(http.StatusUnprocessableEntity, p.call("PUT", path, o.bound, `{"values":{"token":"a-token-of-some-length"},"rotate_by":"`+time.Now().Add(181*24*time.Hour).Format(time.RFC3339)+`"}`), nil)

		// The cell is told of each, and of nothing secret.
		commands, err := p.cells[o.org].Door().CommandsAfter(t.Context(), 0, 10)
		require.NoError(t, err)
		require.Len(t, commands, 1)
		require.Equal(t, config.CommandCredential, commands[0].Kind)

		// Until it is proven, the one before is used; when it is not, it stays.
		o.learns(id, config.Custody{Entered: 1, Floor: 1, Proof: &config.Proof{Version: 1, State: config.ProofProven}})
		k = put()
		require.Equal(t, "proving", k.State)
		require.Equal(t, 1, k.InUse)
		o.learns(id, config.Custody{Entered: 2, Floor: 1, Proof: &config.Proof{Version: 2, State: config.ProofFailed, Reason: "the system refused it", Hint: "Enter it again."}})
		k = get()
		require.Equal(t, "failed", k.State)
		require.Equal(t, "the system refused it", k.Proof.Reason)
		require.Equal(t, 1, k.InUse)
		require.NotEmpty(t, k.Warnings)

		// The next one replaces the one that failed, and beside it the first stays.
		require.Equal(t, 1, put().InUse)
		state := func(version int) store.Credential {
			row, err := p.cells[o.org].Door().GetCredential(t.Context(), id, version)
			require.NoError(t, err)
			return row
		}
		require.Equal(t, store.CredentialReplaced, state(2).State)
		require.Empty(t, state(2).Sealed)
		require.Equal(t, store.CredentialPrevious, state(1).State)
		require.NotEmpty(t, state(1).Sealed)

		// Proven: the API destroys the one before, by itself.
		o.learns(id, config.Custody{Entered: 3, Floor: 3, Proof: &config.Proof{Version: 3, State: config.ProofProven}})
		require.Eventually(t, func() bool { return state(1).State == store.CredentialReplaced }, 10*time.Second, 5*time.Millisecond)
		require.Empty(t, state(1).Sealed)
		require.Equal(t, "current", get().State)
		require.Equal(t, 3, get().InUse)

		// Suspended by the cell, until a newer version is saved.
		o.learns(id, config.Custody{Entered: 3, Floor: 3, Suspension: &config.Suspension{Version: 3, At: time.Now(), Reason: "its settings were changed"}})
		var c api.Connection
		p.must(http.StatusOK, p.call("GET", "/v1/connections/books", o.bound, ""), &c)
		require.Equal(t, "suspended", c.State)
		require.Equal(t, "its settings were changed", c.Suspended.Reason)
		require.Equal(t, "suspended", get().State)
		require.Zero(t, get().InUse)
		require.Equal(t, "current", put().State)
		p.must(http.StatusOK, p.call("GET", "/v1/connections/books", o.bound, ""), &c)
		require.Equal(t, "active", c.State)

		p.must(http.StatusAccepted, p.call("POST", path+"/test", o.bound, ""), nil)
		p.must(http.StatusNoContent, p.call("DELETE", path, o.bound, ""), nil)
		require.Equal(t, "revoked", get().State)
		p.must(http.StatusConflict, p.call("POST", path+"/test", o.bound, ""), nil)
		commands, err = p.cells[o.org].Door().CommandsAfter(t.Context(), 0, 10)
		require.NoError(t, err)
		require.Len(t, commands, 6)
	})
}

// TestCredentialsAreListed: those that are due, or that nobody uses.
func TestCredentialsAreListed(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	ids := map[string]string{}
	for _, name := range []string{"used", "idle", "gone"} {
		ids[name] = o.connection(name, "bearer")
		p.must(http.StatusOK, p.call("PUT", "/v1/connections/"+name+"/credential", o.bound, `{"values":{"token":"a-token-of-some-length"}}`), nil)
	}
	o.connection("never", "bearer")
	p.must(http.StatusNoContent, p.call("DELETE", "/v1/connections/gone/credential", o.bound, ""), nil)
	list := func(query string) []string {
		var page struct{ Items []api.Credential }
		p.must(http.StatusOK, p.call("GET", "/v1/credentials"+query, o.bound, ""), &page)
		names := []string{}
		for _, k := range page.Items {
			names = append(names, k.Name)
		}
		return names
	}
	require.ElementsMatch(t, []string{"used", "idle", "gone"}, list(""))
	require.ElementsMatch(t, []string{"gone"}, list("?state=revoked"))
	require.Empty(t, list("?unused_days=40"))
	require.Empty(t, list("?due_days=80"))
	p.clock.move(41 * 24 * time.Hour)
	require.NoError(t, p.cells[o.org].Work().TouchCredentials(t.Context(), []store.CredentialUse{{Connection: ids["used"], Namespace: o.namespace, At: p.clock.now()}}))
	require.ElementsMatch(t, []string{"idle"}, list("?unused_days=40"))
	require.ElementsMatch(t, []string{"used", "idle"}, list("?due_days=80"))
	var k api.Credential
	p.must(http.StatusOK, p.call("GET", "/v1/connections/idle/credential", o.bound, ""), &k)
	require.Len(t, k.Warnings, 1)
	require.Equal(t, "/last_used_at", k.Warnings[0].Pointer)
	p.clock.move(50 * 24 * time.Hour)
	p.must(http.StatusOK, p.call("GET", "/v1/connections/used/credential", o.bound, ""), &k)
	require.Equal(t, "/rotate_by", k.Warnings[0].Pointer)
	require.Equal(t, p.clock.now().Add(-50*24*time.Hour).Unix(), k.LastUsedAt.Unix())
}

// TestPlaintextCanBeRefused: an organization switches it off, on the record, and
// is told how to seal.
func TestPlaintextCanBeRefused(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o, other := p.tenant("acme"), p.tenant("other")
	o.connection("books", "bearer")
	other.connection("books", "bearer")
	clear := `{"values":{"token":"a-token-of-some-length"}}`
	p.must(http.StatusForbidden, p.call("PATCH", "/v1/settings", o.bound, `{"plaintext_credentials":false}`), nil)
	var s api.Settings
	p.must(http.StatusOK, p.call("GET", "/v1/settings", o.all, ""), &s)
	require.True(t, s.PlaintextCredentials)
	p.must(http.StatusOK, p.call("PATCH", "/v1/settings", o.all, `{"plaintext_credentials":false}`), &s)
	require.False(t, s.PlaintextCredentials)

	r := p.call("PUT", "/v1/connections/books/credential", o.bound, clear)
	problem := r.problem(t)
	require.Equal(t, "refused", string(problem.Code))
	require.Contains(t, problem.Hint, "/docs/sealing")
	require.NotContains(t, string(r.body), "a-token")
	p.must(http.StatusOK, p.call("PUT", "/v1/connections/books/credential", other.bound, clear), nil)

	entries, err := p.cells[o.org].Door().ListAudit(t.Context(), store.AuditFilter{Action: "settings.update"})
	require.NoError(t, err)
	require.Len(t, entries, 1)
	p.must(http.StatusOK, p.call("PATCH", "/v1/settings", o.all, `{"plaintext_credentials":true}`), nil)
	p.must(http.StatusOK, p.call("PUT", "/v1/connections/books/credential", o.bound, clear), nil)
}
