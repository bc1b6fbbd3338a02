package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestFlowLimit: a flow's limit is its own, not a version's; setting it does not
// end a pause, and the cell reads it with the next event.
func TestFlowLimit(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p := newPlatformOn(t, t.TempDir(), b)
		o := p.tenant("acme")
		id := o.deploy(billing)
		patch := func(body string) (f api.Flow) {
			p.must(http.StatusOK, p.call("PATCH", "/v1/flows/billing", o.bound, body), &f)
			return f
		}
		require.Zero(t, patch(`{"state":"paused"}`).MaxRuns)
		f := patch(`{"max_concurrent_runs":3}`)
		require.Equal(t, 3, f.MaxRuns)
		require.Equal(t, "paused", f.State)
		require.Equal(t, f.MaxRuns, patch(`{"state":"active"}`).MaxRuns)
		o.deploy(billing + "        more: 1\n")
		p.must(http.StatusOK, p.call("GET", "/v1/flows/billing", o.bound, ""), &f)
		require.Equal(t, 3, f.MaxRuns)
		require.Equal(t, 2, f.Latest)

		p.must(http.StatusAccepted, p.call("POST", "/v1/flows/billing/runs", o.bound, `{"input":{}}`), nil)
		events, err := p.cells[o.org].Door().EventsAfter(t.Context(), 0, 10)
		require.NoError(t, err)
		require.Equal(t, 3, events[len(events)-1].MaxRuns)
		limit, err := p.cells[o.org].Door().FlowLimit(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, 3, limit)

		require.Zero(t, patch(`{"max_concurrent_runs":0}`).MaxRuns)
		for _, bad := range []string{`{}`, `{"max_concurrent_runs":-1}`, `{"max_concurrent_runs":100001}`, `{"max_concurrent_runs":"3"}`} {
			r := p.call("PATCH", "/v1/flows/billing", o.bound, bad)
			require.Equal(t, http.StatusUnprocessableEntity, r.status, bad)
			r.problem(t)
		}
		entries, err := p.cells[o.org].Door().ListAudit(t.Context(), store.AuditFilter{Limit: 100})
		require.NoError(t, err)
		limits := 0
		for _, e := range entries {
			if e.Action == "flow.limit" {
				limits++
			}
		}
		require.Equal(t, 2, limits)
	})
}

// TestHowCallsAreMade: defaults are shown, a change changes what it names, and
// policies that contradict the rest of the connection are refused.
func TestHowCallsAreMade(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, func(c *api.Config) {
		c.Connectors = append(c.Connectors, sdk.Manifest{
			Name: "reader", Version: "1.0.0", Title: "Reader", Actions: []sdk.ActionInfo{{Name: "get", Title: "Get", Effect: sdk.EffectRead}},
		})
	})
	o := p.tenant("acme")
	var shown api.Connection
	p.must(http.StatusCreated, p.call("POST", "/v1/connections", o.bound, `{"name":"books","connector":"http"}`), &shown)
	assert.Equal(t, 16, shown.MaxCalls)
	assert.Equal(t, 300, shown.ThrottlePatience)
	assert.Equal(t, "ask", shown.Uncertain.Outcome)
	patch := func(body string) {
		t.Helper()
		shown = api.Connection{}
		p.must(http.StatusOK, p.call("PATCH", "/v1/connections/books", o.bound, body), &shown)
	}
	patch(`{"max_concurrent_calls":4,"throttle_patience":0}`)
	patch(`{"uncertain":{"outcome":"done","output":{"number":null}}}`)
	assert.Equal(t, 4, shown.MaxCalls)
	assert.Zero(t, shown.ThrottlePatience)
	assert.Equal(t, "done", shown.Uncertain.Outcome)
	assert.JSONEq(t, `{"number":null}`, string(shown.Uncertain.Output))
	patch(`{"uncertain":{"outcome":"failed"},"idempotency_header":"Idempotency-Key"}`)
	patch(`{"uncertain":{"outcome":"ask"}}`)
	patch(`{"uncertain":{"outcome":"repeat"},"idempotency_header":""}`)

	lookup := `{"action":"request","with":{},"found":"${ . }"}`
	for body, at := range map[string]string{
		`{"idempotency_header":"Idempotency-Key"}`:                "/uncertain/outcome",
		`{"lookup":` + lookup + `}`:                               "/uncertain/outcome",
		`{"uncertain":{"outcome":"failed","output":1}}`:           "/uncertain/output",
		`{"uncertain":{"outcome":"repeat","output":{"a":1}}}`:     "/uncertain/output",
		`{"uncertain":{"outcome":"guess"}}`:                       "/uncertain/outcome",
		`{"uncertain":{}}`:                                        "/uncertain",
		`{"max_concurrent_calls":33}`:                             "/max_concurrent_calls",
		`{"max_concurrent_calls":0,"throttle_patience":3601}`:     "/max_concurrent_calls",
		`{"uncertain":{"outcome":"done"},"throttle_patience":-1}`: "/throttle_patience",
	} {
		r := p.call("PATCH", "/v1/connections/books", o.bound, body)
		require.Equal(t, http.StatusUnprocessableEntity, r.status, "%s: %s", body, r.body)
		assert.Equal(t, at, r.problem(t).Pointer, body)
	}
	patch(`{"lookup":` + lookup + `,"uncertain":{"outcome":"failed"}}`)
	r := p.call("POST", "/v1/connections", o.bound, `{"name":"in","connector":"reader","uncertain":{"outcome":"failed"}}`)
	require.Equal(t, http.StatusUnprocessableEntity, r.status)
	problem := r.problem(t)
	assert.Equal(t, "/uncertain/outcome", problem.Pointer)
	assert.NotEmpty(t, problem.Hint)
	p.must(http.StatusCreated, p.call("POST", "/v1/connections", o.bound, `{"name":"in","connector":"reader","uncertain":{"outcome":"ask"}}`), nil)
}
