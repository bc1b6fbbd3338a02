package api_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/schema/token"
)

// estate is what one organization has, for the paths of the matrix.
type estate struct {
	*tenant
	ids map[string]string
	key string
}

func (p *platform) estate(name string) *estate {
	p.t.Helper()
	o := p.tenant(name)
	e := &estate{tenant: o, ids: map[string]string{"organization": o.org, "namespace": o.namespace, "version": "1"}}
	e.ids["connection"] = o.connection("books", "bearer")
	e.ids["flow"] = o.deploy(billing)
	e.ids["source"], _ = o.source("shop", "billing")
	e.ids["schedule"] = o.schedule(`{"name":"yearly","flow":"billing","cron":"@yearly"}`).ID
	p.must(http.StatusOK, p.call("PUT", "/v1/alerts/target", o.bound, `{"connection":"books","path":"/alerts"}`), nil)
	var accepted struct{ Event string }
	p.must(http.StatusAccepted, p.call("POST", "/v1/flows/billing/runs", o.bound, `{"input":{}}`), &accepted)
	e.ids["event"] = accepted.Event
	e.ids["run"] = o.run(accepted.Event, store.RunRunning)
	e.key = p.key(o.bound, `{"name":"spare","permissions":["events:read"]}`)
	var keys struct{ Items []struct{ ID, Name string } }
	p.must(http.StatusOK, p.call("GET", "/v1/keys", o.bound, ""), &keys)
	for _, k := range keys.Items {
		if k.Name == "spare" {
			e.ids["key"] = k.ID
		}
	}
	return e
}

// run makes the run that the cell's relay would make of an event.
func (o *tenant) run(event, state string) string {
	o.p.t.Helper()
	ctx := o.p.t.Context()
	work := o.p.cells[o.org].Work()
	e, err := o.p.cells[o.org].Door().GetEvent(ctx, o.namespace, event)
	require.NoError(o.p.t, err)
	id, carrier := schema.NewID(schema.PrefixRun), schema.NewID(schema.PrefixCarrier)
	require.NoError(o.p.t, work.StartRuns(ctx, []store.Run{{
		ID: id, Namespace: o.namespace, Event: event, EventSeq: e.Seq, Flow: e.Flow, FlowVersion: e.FlowVersion, Digest: e.Digest,
		Carrier: carrier, Epoch: 1, State: store.RunPending, CreatedAt: time.Now(),
	}}, e.Seq, nil))
	require.NoError(o.p.t, work.Commit(ctx, store.RunCommit{Run: id, Carrier: carrier, Epoch: 1, State: state}))
	return id
}

// path fills a route with the estate's ids.
func (e *estate) path(route string) string {
	for name, id := range e.ids {
		route = strings.ReplaceAll(route, "{"+name+"}", id)
	}
	return route
}

// absent fills a route with ids that nobody has.
func absent(route string) string {
	for name, prefix := range map[string]schema.Prefix{
		"organization": schema.PrefixOrganization, "connection": schema.PrefixConnection, "flow": schema.PrefixFlow,
		"source": schema.PrefixSource, "schedule": schema.PrefixSchedule, "event": schema.PrefixEvent, "run": schema.PrefixRun, "key": schema.PrefixKey,
		"namespace": schema.PrefixNamespace,
	} {
		route = strings.ReplaceAll(route, "{"+name+"}", schema.NewID(prefix))
	}
	return strings.ReplaceAll(route, "{version}", "1")
}

// body is one that passes validation, so that only access can refuse it.
func body(id string) string {
	return map[string]string{
		"create-organization": `{"name":"x"}`,
		"create-key":          `{"name":"x","permissions":["events:read"]}`,
		"create-namespace":    `{"name":"next"}`,
		"update-namespace":    `{"retention_days":30}`,
		"create-connection":   `{"name":"next","connector":"http"}`,
		"update-connection":   `{"state":"suspended"}`,
		"update-flow":         `{"state":"active"}`,
		"update-source":       `{"state":"active"}`,
		"put-credential":      `{"values":{"token":"x"}}`,
		"create-source":       `{"name":"next","flow":"billing"}`,
		"create-schedule":     `{"name":"next","flow":"billing","cron":"@yearly"}`,
		"update-schedule":     `{"state":"active"}`,
		"put-alert-target":    `{"connection":"books","path":"/alerts"}`,
		"deploy-flow":         `{"document":{}}`,
		"start-run":           `{"input":1}`,
		"cancel-run":          `{}`,
		"add-source-secret":   `{}`,
		"replay-event":        `{"effects":"same"}`,
		"replay-events":       `{"effects":"same"}`,
		"discard-dead-letter": `{}`,
		"record-engine-act":   `{"method":"X","namespace":"","workflow":"","run":"","allowed":true}`,
		"rotate-cell-keys":    `{"kind":"data"}`,
		"resolve-run":         `{"effect":"eff_1","outcome":"failed"}`,
		"decode-payloads":     `{"payloads":[]}`,
	}[id]
}

// TestAccessMatrix walks every route of the served document (deny by default).
func TestAccessMatrix(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	mine, theirs := p.estate("acme"), p.estate("globex")
	elsewhere := p.key(mine.all, `{"namespace":"staging","name":"elsewhere","permissions":["*"]}`)
	revoked := p.key(mine.all, `{"name":"revoked","permissions":["*"]}`)
	var keys struct{ Items []struct{ ID, Name string } }
	p.must(http.StatusOK, p.call("GET", "/v1/keys", mine.all, ""), &keys)
	for _, k := range keys.Items {
		if k.Name == "revoked" {
			p.must(http.StatusNoContent, p.call("DELETE", "/v1/keys/"+k.ID, mine.all, ""), nil)
		}
	}
	expired := p.key(mine.all, `{"name":"expired","permissions":["*"],"expires_at":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"}`)
	p.clock.move(2 * time.Hour)

	operations := p.operations()
	for _, route := range slices.Sorted(maps.Keys(operations)) {
		op := operations[route]
		method, path, _ := strings.Cut(route, " ")
		t.Run(op.ID, func(t *testing.T) {
			require.NotEmpty(t, op.Scope, "the route states no scope")
			require.NotNil(t, op.Security)
			send := func(key, path string, options ...option) reply {
				return p.call(method, path, key, body(op.ID), options...)
			}
			if op.Scope == "public" {
				require.Contains(t, []string{"get-health", "get-ready", "receive-webhook", "verify-webhook"}, op.ID, "a new public route")
				require.Empty(t, op.Permission)
				return
			}
			require.NotEmpty(t, op.Permission)
			for name, key := range map[string]string{
				"none": "", "nonsense": "tk_x_y", "revoked": revoked, "expired": expired, "cut": mine.all[:len(mine.all)-1],
				"other secret": mine.all[:30] + theirs.all[30:], "upper": strings.ToUpper(mine.all), "twice": mine.all + mine.all,
			} {
				r := send(key, mine.path(path))
				assert.Equal(t, http.StatusUnauthorized, r.status, "%s: %s", name, r.body)
				assert.NotEmpty(t, r.header.Get("WWW-Authenticate"))
				assert.Equal(t, "a valid API key is required", r.problem(t).Detail, "keys that do not work are all alike")
			}
			twice := send("", mine.path(path), func(r *http.Request) {
				r.Header["Authorization"] = []string{"Bearer " + mine.all, "Bearer " + mine.all}
			})
			assert.Equal(t, http.StatusUnauthorized, twice.status)
			basic := send("", mine.path(path), with("Authorization", "Basic "+mine.all))
			assert.Equal(t, http.StatusUnauthorized, basic.status)

			if op.Scope == "engine" {
				for _, key := range []string{mine.all, mine.bound, p.admin} {
					assert.Equal(t, http.StatusUnauthorized, send(key, mine.path(path), with("X-Namespace", mine.org)).status, "no key opens it")
				}
				return
			}

			// A key with every permission but the one.
			var rest []string
			for _, perm := range api.Permissions() {
				if string(perm) != op.Permission {
					rest = append(rest, `"`+string(perm)+`"`)
				}
			}
			without := p.key(mine.all, `{"name":"without","permissions":[`+strings.Join(rest, ",")+`]}`)
			lacking := send(without, mine.path(path), with("X-Namespace", "prod"))
			assert.Equal(t, http.StatusForbidden, lacking.status, "%s", lacking.body)
			if op.Scope == "platform" {
				assert.Equal(t, http.StatusForbidden, send(mine.all, mine.path(path)).status)
				return
			}
			if op.Scope != "account" {
				assert.Equal(t, http.StatusForbidden, send(p.admin, mine.path(path)).status, "a platform key sees nothing of an organization")
			}
			if strings.Contains(path, "{") {
				// The same answer for what is another's and for what is nobody's.
				for name, key := range map[string]string{"organization": theirs.bound, "namespace": elsewhere} {
					if path == "/v1/organizations/{organization}" && name == "namespace" {
						continue
					}
					r, nobody := send(key, mine.path(path)), send(key, absent(path))
					assert.Contains(t, []int{http.StatusNotFound, http.StatusForbidden}, r.status, "%s: %s", name, r.body)
					assert.Equal(t, nobody.status, r.status, name)
					a, b := r.problem(t), nobody.problem(t)
					a.RequestID, b.RequestID = "", ""
					assert.Equal(t, b, a, name)
				}
			}
			if op.Scope == "namespace" {
				assert.Equal(t, http.StatusUnprocessableEntity, send(mine.all, mine.path(path)).status, "without X-Namespace")
				for name, ns := range map[string]string{"theirs": theirs.namespace, "none": schema.NewID(schema.PrefixNamespace)} {
					r := send(mine.all, mine.path(path), with("X-Namespace", ns))
					assert.Equal(t, http.StatusNotFound, r.status, name)
				}
				for _, ns := range []string{mine.other, "staging", "nothing", theirs.namespace} {
					r := send(mine.bound, mine.path(path), with("X-Namespace", ns))
					assert.Equal(t, http.StatusForbidden, r.status, ns)
				}
				two := send(mine.bound, mine.path(path), func(r *http.Request) { r.Header["X-Namespace"] = []string{"prod", "prod"} })
				assert.Equal(t, http.StatusUnprocessableEntity, two.status)
			}
		})
	}
}

// TestKeysGiveAwayOnlyWhatTheyHave: no key makes a stronger one.
func TestKeysGiveAwayOnlyWhatTheyHave(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o, theirs := p.tenant("acme"), p.tenant("globex")
	weak := p.key(o.all, `{"name":"weak","permissions":["keys:*","flows:read"]}`)
	bound := p.key(o.all, `{"namespace":"prod","name":"weak","permissions":["keys:*","flows:read"]}`)
	for _, asked := range []string{`"*"`, `"flows:*"`, `"runs:read"`, `"flows:read","flows:write"`, `"organization:*"`} {
		r := p.call("POST", "/v1/keys", weak, `{"name":"x","permissions":[`+asked+`]}`)
		assert.Equal(t, http.StatusForbidden, r.status, asked)
	}
	p.key(weak, `{"name":"x","permissions":["flows:read","keys:read","keys:*"]}`)
	for _, body := range []string{
		`{"organization":"` + theirs.org + `","name":"x","permissions":["flows:read"]}`,
		`{"organization":"` + schema.NewID(schema.PrefixOrganization) + `","name":"x","permissions":["flows:read"]}`,
	} {
		assert.Equal(t, http.StatusNotFound, p.call("POST", "/v1/keys", weak, body).status)
	}
	for _, ns := range []string{"staging", theirs.namespace, "nothing"} {
		r := p.call("POST", "/v1/keys", bound, `{"namespace":"`+ns+`","name":"x","permissions":["flows:read"]}`)
		assert.Equal(t, http.StatusUnprocessableEntity, r.status, ns)
	}
	var made struct{ Namespace string }
	p.must(http.StatusCreated, p.call("POST", "/v1/keys", bound, `{"name":"x","permissions":["flows:read"]}`), &made)
	assert.Equal(t, o.namespace, made.Namespace, "a bound key makes bound keys")
	assert.Equal(t, http.StatusForbidden, p.call("POST", "/v1/namespaces", o.bound, `{"name":"more"}`).status)
	for _, body := range []string{
		`{"name":"x","permissions":["all"]}`, `{"name":"x","permissions":[]}`, `{"name":"x","permissions":["runs:"]}`,
		`{"name":"x","permissions":["runs:read"],"expires_at":"2001-01-01T00:00:00Z"}`,
	} {
		assert.Equal(t, http.StatusUnprocessableEntity, p.call("POST", "/v1/keys", o.all, body).status, body)
	}
	var list struct {
		Items []struct{ ID, Name, Namespace string }
	}
	p.must(http.StatusOK, p.call("GET", "/v1/keys", bound, ""), &list)
	for _, k := range list.Items {
		assert.Equal(t, o.namespace, k.Namespace)
	}
	assert.Equal(t, http.StatusNotFound, p.call("GET", "/v1/keys?organization="+theirs.org, o.all, "").status)
}

// TestCodec: operators of the organization, and its keys, and nobody else. Who
// is known and refused stands in the log of their own organization.
func TestCodec(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		t.Helper()
		codec(newPlatformOn(t, t.TempDir(), b, func(c *api.Config) { c.Limits.Refusals = 50 * time.Millisecond }))
	})
}

func codec(p *platform) {
	t := p.t
	o, theirs := p.tenant("acme"), p.tenant("globex")
	mint := func(role token.Role, expires time.Duration, namespaces ...string) string {
		text, err := p.signer.Mint(token.Claims{Subject: "ops", Role: role, Namespaces: namespaces, Expires: time.Now().Add(expires)})
		require.NoError(t, err)
		return text
	}
	send := func(key, ns string, options ...option) reply {
		return p.call("POST", "/v1/codec/decode", key, `{"payloads":[{"metadata":{"encoding":"anNvbi9wbGFpbg=="},"data":"MQ=="}]}`, append(options, with("X-Namespace", ns))...)
	}
	good := mint(token.RoleOperator, time.Hour, o.org)
	r := send(good, o.org, with("Origin", "http://127.0.0.1:8233"))
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	assert.Equal(t, "http://127.0.0.1:8233", r.header.Get("Access-Control-Allow-Origin"))
	assert.Equal(t, http.StatusOK, send(o.all, o.org).status)
	var refused []api.Problem
	for _, org := range []string{theirs.org, schema.NewID(schema.PrefixOrganization), "", "x"} {
		r := send(good, org)
		require.Equal(t, http.StatusForbidden, r.status, org)
		said := r.problem(t)
		said.RequestID = ""
		refused = append(refused, said)
		require.Equal(t, refused[0], said, "alike, whether there is such an organization or not")
		for _, role := range []token.Role{token.RoleOperator, token.RoleCell} {
			r := p.call("POST", "/v1/engine/acts", mint(role, time.Hour, o.org), body("record-engine-act"), with("X-Namespace", org))
			require.Equal(t, http.StatusForbidden, r.status, org)
		}
	}
	assert.Equal(t, http.StatusForbidden, send(o.all, theirs.org).status)
	assert.Equal(t, http.StatusForbidden, send(o.bound, o.org).status)
	assert.Equal(t, http.StatusUnauthorized, send(mint(token.RoleCell, time.Hour, o.org), o.org).status)
	assert.Equal(t, http.StatusUnauthorized, send(mint(token.RoleSystem, time.Hour, o.org), o.org).status)
	assert.Equal(t, http.StatusUnauthorized, send(mint(token.RoleOperator, -time.Hour, o.org), o.org).status)
	assert.Equal(t, http.StatusUnauthorized, p.call("GET", "/v1/namespaces", good, "").status, "an operator token opens nothing else")
	for count, status := range map[string]int{``: http.StatusNoContent, `,"count":7`: http.StatusNoContent, `,"count":0`: http.StatusUnprocessableEntity, `,"count":-1`: http.StatusUnprocessableEntity} {
		r := p.call("POST", "/v1/engine/acts", good, `{"method":"ListWorkflowExecutions","namespace":"","workflow":"","run":"","allowed":false`+count+`}`, with("X-Namespace", o.org))
		require.Equal(t, status, r.status, count)
	}
	want := map[string]int64{
		"operator:ops engine.refuse ListWorkflowExecutions ":               8,
		"operator:ops access.refuse decode-payloads ":                      4,
		"operator:ops access.refuse record-engine-act ":                    4,
		"cell:ops access.refuse record-engine-act ":                        4,
		actorOf(o.all) + " access.refuse decode-payloads ":                 1,
		actorOf(o.bound) + " access.refuse decode-payloads " + o.namespace: 1,
	}
	require.EventuallyWithT(t, func(t *assert.CollectT) { assert.Equal(t, want, p.refusals("/v1/audit?limit=50", o.all)) }, 20*time.Second, 50*time.Millisecond)
	require.Empty(t, p.refusals("/v1/audit?limit=50", theirs.all))
	for _, from := range []string{"null", "https://evil.example", "http://127.0.0.1:8234", "http://127.0.0.1:8233.evil.example"} {
		r := send(good, o.org, with("Origin", from))
		assert.Empty(t, r.header.Get("Access-Control-Allow-Origin"), from)
		preflight := p.call("OPTIONS", "/v1/codec/decode", "", "", with("Origin", from))
		assert.Empty(t, preflight.header.Get("Access-Control-Allow-Origin"), from)
	}
	preflight := p.call("OPTIONS", "/v1/codec/decode", "", "", with("Origin", "http://127.0.0.1:8233"))
	assert.Equal(t, http.StatusNoContent, preflight.status)
	elsewhere := p.call("OPTIONS", "/v1/runs", "", "", with("Origin", "http://127.0.0.1:8233"))
	assert.Empty(t, elsewhere.header.Get("Access-Control-Allow-Origin"))
}
