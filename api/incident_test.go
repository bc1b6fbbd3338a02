package api_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/schema/token"
)

// onEach runs a test against an API on each kind of database.
func onEach(t *testing.T, test func(*platform)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		t.Helper()
		test(newPlatformOn(t, t.TempDir(), b))
	})
}

// TestRevokeEverything is the drill of an incident: one call, and nothing that
// the organization had given out lets anybody in or reaches another system; the
// other organization notices nothing.
func TestRevokeEverything(t *testing.T) {
	onEach(t, func(p *platform) {
		t := p.t
		o, other := p.estate("acme"), p.estate("globex")
		for _, e := range []*estate{o, other} {
			p.must(http.StatusOK, p.call("PUT", "/v1/connections/books/credential", e.bound, `{"values":{"token":"s3cret-of-acme"}}`), nil)
		}
		stolen, err := p.signer.Mint(token.Claims{Subject: "ops", Role: token.RoleOperator, Namespaces: []string{o.org}, Expires: time.Now().Add(time.Hour)})
		require.NoError(t, err)
		decode := func(bearer, org string) int {
			return p.call("POST", "/v1/codec/decode", bearer, `{"payloads":[]}`, with("X-Namespace", org)).status
		}
		require.Equal(t, http.StatusOK, decode(stolen, o.org))

		began := time.Now()
		r := p.call("POST", "/v1/organizations/"+o.org+"/revoke-everything", o.all, "")
		took := time.Since(began)
		var done api.Revoked
		p.must(http.StatusOK, r, &done)
		require.NotContains(t, string(r.body), "s3cret-of-acme")
		require.Len(t, done.Keys, 3)
		require.Equal(t, []string{o.ids["connection"]}, done.Credentials)
		require.Equal(t, []string{o.ids["flow"]}, done.Flows)
		require.Equal(t, []string{o.ids["source"]}, done.Sources)
		require.Equal(t, []string{o.ids["schedule"]}, done.Schedules)
		require.Len(t, done.Rotate, 3)
		rotate := done.Rotate[slices.IndexFunc(done.Rotate, func(r api.Rotate) bool { return r.Kind == "connection" })]
		require.Equal(t, "books", rotate.Name)
		require.Equal(t, "http", rotate.Connector)
		require.Equal(t, "prod", rotate.Namespace)
		require.Equal(t, []string{"books.example"}, rotate.Hosts)
		require.NoError(t, schema.CheckID(schema.PrefixKey, rotate.SavedBy))

		for name, key := range map[string]string{"all": o.all, "bound": o.bound, "spare": o.key} {
			require.Equal(t, http.StatusUnauthorized, p.call("GET", "/v1/flows", key, "").status, name)
		}
		require.Equal(t, http.StatusUnauthorized, decode(stolen, o.org))
		require.Equal(t, http.StatusOK, p.call("GET", "/v1/flows", other.bound, "").status)

		// Nobody else's, and nothing that was: another organization's, no one's.
		require.Equal(t, http.StatusNotFound, p.call("POST", "/v1/organizations/"+o.org+"/revoke-everything", other.all, "").status)
		require.Equal(t, http.StatusForbidden, p.call("POST", "/v1/organizations/"+other.org+"/revoke-everything", other.bound, "").status)

		// A new key finds everything stopped, and lets it go on piece by piece.
		key := p.key(p.admin, `{"organization":"`+o.org+`","name":"after","permissions":["*"]}`)
		in := with("X-Namespace", "prod")
		var known struct{ State string }
		p.must(http.StatusOK, p.call("GET", "/v1/connections/books/credential", key, "", in), &known)
		require.Equal(t, store.CredentialRevoked, known.State)
		refused := p.call("POST", "/v1/flows/billing/runs", key, `{"input":{}}`, in)
		require.Equal(t, http.StatusServiceUnavailable, refused.status)
		require.Contains(t, refused.problem(t).Detail, "the flow is paused")
		p.must(http.StatusOK, p.call("PATCH", "/v1/flows/billing", key, `{"state":"active"}`, in), &known)
		require.Equal(t, store.FlowActive, known.State)
		p.must(http.StatusAccepted, p.call("POST", "/v1/flows/billing/runs", key, `{"input":{}}`, in), nil)
		p.must(http.StatusOK, p.call("PATCH", "/v1/sources/"+o.ids["source"], key, `{"state":"active"}`, in), &known)
		require.Equal(t, store.SourceActive, known.State)

		// By the administrator, and again: what there is since, and no more.
		p.must(http.StatusOK, p.call("POST", "/v1/organizations/"+o.org+"/revoke-everything", p.admin, ""), &done)
		require.Len(t, done.Keys, 1)
		require.Empty(t, done.Credentials)
		require.Equal(t, []string{o.ids["flow"]}, done.Flows)
		require.Len(t, done.Rotate, 3, "what the other systems know stays on the list")

		// On the record, in both logs, and the cell is told of the credential.
		door := p.cells[o.org].Door()
		for action, target := range map[string]string{
			"organization.revoke_everything": o.org, "credential.revoke": o.ids["connection"], "source.suspend": o.ids["source"], "flow.pause": o.ids["flow"],
		} {
			entries, err := door.ListAudit(t.Context(), store.AuditFilter{Action: action})
			require.NoError(t, err)
			require.NotEmpty(t, entries, action)
			require.Equal(t, target, entries[0].Target, action)
		}
		entries, err := p.control.ListAudit(t.Context(), store.AuditFilter{Action: "organization.revoke_everything"})
		require.NoError(t, err)
		require.Len(t, entries, 2)
		commands, err := door.CommandsAfter(t.Context(), 0, 100)
		require.NoError(t, err)
		require.True(t, slices.ContainsFunc(commands, func(c store.Command) bool { return c.Kind == "credential" }))
		p.soon(took)
	})
}

// TestRevokeEverythingOfMany: a large organization takes no longer than a small one.
func TestRevokeEverythingOfMany(t *testing.T) {
	onEach(t, func(p *platform) {
		t := p.t
		o := p.tenant("acme")
		o.deploy(billing)
		const many = 150
		for i := range many {
			id := o.connection(fmt.Sprint("c-", i), "bearer")
			p.must(http.StatusOK, p.call("PUT", "/v1/connections/"+id+"/credential", o.bound, `{"values":{"token":"s3cret-of-acme"}}`), nil)
			o.source(fmt.Sprint("s-", i), "billing")
		}
		began := time.Now()
		r := p.call("POST", "/v1/organizations/"+o.org+"/revoke-everything", o.all, "")
		took := time.Since(began)
		var done api.Revoked
		p.must(http.StatusOK, r, &done)
		require.Len(t, done.Credentials, many)
		require.Len(t, done.Sources, many)
		p.soon(took)
	})
}

// soon requires that "revoke everything" took less than a second or, where the machine
// is busy with other things, than twenty times of it for an organization that has nothing.
func (p *platform) soon(took time.Duration) {
	p.t.Helper()
	empty := p.tenant("empty")
	began := time.Now()
	p.must(http.StatusOK, p.call("POST", "/v1/organizations/"+empty.org+"/revoke-everything", empty.all, ""), nil)
	require.Less(p.t, took, max(time.Second, 20*time.Since(began)))
}

// TestRevokeEverythingIsEnded: the asking key is among what is revoked, so who
// hangs up cannot ask again.
func TestRevokeEverythingIsEnded(t *testing.T) {
	p := newPlatform(t)
	o := p.tenant("acme")
	o.deploy(billing)
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.server.URL, "http://"))
	require.NoError(t, err)
	_, err = fmt.Fprintf(conn, "POST /v1/organizations/%s/revoke-everything HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 0\r\n\r\n", o.org, o.all)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return p.call("GET", "/v1/namespaces", o.all, "").status == http.StatusUnauthorized }, 10*time.Second, time.Millisecond)
	require.NoError(t, conn.Close())
	door := p.cells[o.org].Door()
	require.Eventually(t, func() bool {
		entries, err := door.ListAudit(t.Context(), store.AuditFilter{Action: "organization.revoke_everything"})
		require.NoError(t, err)
		return len(entries) == 2 // At once, and when what was let in before has settled.
	}, 10*time.Second, 10*time.Millisecond)
}

// TestASuspendedSourceKeepsNothing: only who proves to be the sender learns of it.
func TestASuspendedSourceKeepsNothing(t *testing.T) {
	p := newPlatform(t)
	o := p.tenant("acme")
	o.deploy(billing)
	id, secret := o.source("shop", "billing")
	p.must(http.StatusOK, p.call("PATCH", "/v1/sources/"+id, o.bound, `{"state":"suspended"}`), nil)
	forged := p.call("POST", "/v1/hooks/"+id, "", `{"number":1}`)
	require.Equal(t, http.StatusUnauthorized, forged.status)
	post := func() reply {
		return p.call("POST", "/v1/hooks/"+id, "", `{"number":1}`, p.signed(secret, "msg_1", `{"number":1}`)...)
	}
	told := post()
	require.Equal(t, http.StatusServiceUnavailable, told.status, "%s", told.body)
	require.NotEmpty(t, told.header.Get("Retry-After"))
	events, err := p.cells[o.org].Door().EventsAfter(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Empty(t, events)
	p.must(http.StatusOK, p.call("PATCH", "/v1/sources/"+id, o.bound, `{"state":"active"}`), nil)
	require.Equal(t, http.StatusAccepted, post().status)
}

// TestDeleteOrganization: not by accident, by an administrator only, and from
// then on nothing leads to it.
func TestDeleteOrganization(t *testing.T) {
	onEach(t, func(p *platform) {
		t := p.t
		o, other := p.estate("acme"), p.estate("globex")
		path := "/v1/organizations/" + o.org
		require.Equal(t, http.StatusForbidden, p.call("DELETE", path+"?confirm=acme", o.all, "").status)
		require.Equal(t, http.StatusUnprocessableEntity, p.call("DELETE", path, p.admin, "").status)
		for _, wrong := range []string{"", "Acme", "globex", other.org} {
			require.Equal(t, http.StatusUnprocessableEntity, p.call("DELETE", path+"?confirm="+wrong, p.admin, "").status, wrong)
		}
		require.Equal(t, http.StatusOK, p.call("GET", "/v1/flows", o.bound, "").status)

		rung := p.rung(o.org)
		var shown api.Organization
		for range 2 {
			p.must(http.StatusAccepted, p.call("DELETE", path+"?confirm=acme", p.admin, ""), &shown)
			require.Equal(t, "deleting", shown.State)
		}
		require.Greater(t, p.rung(o.org), rung)
		require.Equal(t, http.StatusUnauthorized, p.call("GET", "/v1/flows", o.bound, "").status)
		require.Equal(t, http.StatusUnauthorized, p.call("POST", "/v1/hooks/"+o.ids["source"], "", `{}`).status)
		require.Equal(t, http.StatusNotFound, p.call("POST", "/v1/keys", p.admin, `{"organization":"`+o.org+`","name":"x","permissions":["*"]}`).status)
		require.Equal(t, http.StatusOK, p.call("GET", "/v1/flows", other.bound, "").status)

		// What the host does at the end of the deletion.
		require.NoError(t, p.control.EndDeletion(t.Context(), o.org, store.AuditDraft{Actor: "host", Action: "organization.deleted", Target: o.org}))
		require.Equal(t, http.StatusNotFound, p.call("DELETE", path+"?confirm=acme", p.admin, "").status)
		require.Equal(t, http.StatusNotFound, p.call("GET", path, p.admin, "").status)
		var list struct{ Items []json.RawMessage }
		p.must(http.StatusOK, p.call("GET", "/v1/organizations", p.admin, ""), &list)
		require.Len(t, list.Items, 1)
	})
}
