package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// seals as the cell does.
func (o *tenant) seals(at seal.Place, v any) []byte {
	o.p.t.Helper()
	plain, err := json.Marshal(v)
	require.NoError(o.p.t, err)
	return seal.NewDataKeys(o.p.host(o.org).DataKeys[0]).Seal(at, plain)
}

func (o *tenant) called() string {
	o.p.t.Helper()
	var accepted struct{ Event string }
	o.p.must(http.StatusAccepted, o.p.call("POST", "/v1/flows/billing/runs", o.bound, `{"input":{}}`), &accepted)
	return accepted.Event
}

func TestRunDetail(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	o.deploy(billing)
	id := o.run(o.called(), store.RunRunning)
	row, err := p.cells[o.org].Work().GetRun(t.Context(), o.namespace, id)
	require.NoError(t, err)
	now := time.Now()
	effect := schema.NewID(schema.PrefixEffect)
	require.NoError(t, p.cells[o.org].Work().Commit(t.Context(), store.RunCommit{
		Run: id, Carrier: row.Carrier, Epoch: row.Epoch,
		Steps: []store.Step{{
			Run: id, Key: "/do/0/map", Pointer: "/do/0/map", Kind: "set", Phase: "whole", State: store.StepDone, StartedAt: now, EndedAt: now,
			RecordSealed: o.seals(place.Step(o.org, id, "/do/0/map"), task.Record{
				Result: task.StepResult{Output: "/do/0/map"}, Values: map[task.Ref]json.RawMessage{"/do/0/map": json.RawMessage(`{"number":7}`)},
			}),
		}},
		Effects: []store.Effect{{
			ID: effect, Run: id, Key: "/do/0/map", Connection: "con", Action: "request", Digest: []byte{1}, Epoch: row.Epoch,
			Owner: row.Carrier, State: store.EffectUncertain, Attempts: 1, CreatedAt: now, UpdatedAt: now,
			OutcomeSealed: o.seals(place.Effect(o.org, effect), map[string]int{"status": 500}),
		}},
		End: &store.RunEnd{State: store.RunUncertain, ErrorType: "uncertain", At: now, ResultSealed: o.seals(place.Run(o.org, id), config.Result{Error: json.RawMessage(`{"title":"x"}`)})},
	}))

	var shown api.RunDetail
	p.must(http.StatusOK, p.call("GET", "/v1/runs/"+id, o.bound, ""), &shown)
	require.Len(t, shown.Steps, 1)
	assert.Equal(t, "map", shown.Steps[0].Name)
	assert.JSONEq(t, `{"number":7}`, string(shown.Steps[0].Output))
	require.Len(t, shown.Effects, 1)
	assert.JSONEq(t, `{"status":500}`, string(shown.Effects[0].Outcome))
	assert.Equal(t, schema.IdempotencyKey(o.org, id, "/do/0/map"), shown.Effects[0].IdempotencyKey)
	assert.JSONEq(t, `{"title":"x"}`, string(shown.Error))
	link, err := url.Parse(shown.Engine)
	require.NoError(t, err)
	assert.Equal(t, "/namespaces/"+o.org+"/workflows", link.Path)
	assert.Equal(t, "TenonRuns='"+id+"'", link.Query().Get("query"))

	var list api.List[api.Run]
	p.must(http.StatusOK, p.call("GET", "/v1/runs?state=uncertain&flow=billing", o.bound, ""), &list)
	require.Len(t, list.Items, 1)
	p.must(http.StatusOK, p.call("GET", "/v1/runs?state=failed", o.bound, ""), &list)
	assert.Empty(t, list.Items)
	p.must(http.StatusUnprocessableEntity, p.call("GET", "/v1/runs?state=odd", o.bound, ""), nil)
	p.must(http.StatusUnprocessableEntity, p.call("GET", "/v1/runs?limit=201", o.bound, ""), nil)

	// Only what is uncertain is decided, only an effect of the run, once said how.
	resolve := func(body string) reply { return p.call("POST", "/v1/runs/"+id+"/resolve", o.bound, body) }
	p.must(http.StatusUnprocessableEntity, resolve(`{"effect":"`+schema.NewID(schema.PrefixEffect)+`","outcome":"done"}`), nil)
	p.must(http.StatusUnprocessableEntity, resolve(`{"effect":"`+effect+`","outcome":"maybe"}`), nil)
	p.must(http.StatusUnprocessableEntity, resolve(`{"effect":"`+effect+`","outcome":"retry","output":{}}`), nil)
	rings := p.rung(o.org)
	var said api.Commanded
	p.must(http.StatusAccepted, resolve(`{"effect":"`+effect+`","outcome":"done","output":{"number":"B-1"},"reason":"seen in the books"}`), &said)
	assert.Greater(t, p.rung(o.org), rings)
	commands, err := p.cells[o.org].Door().CommandsAfter(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, commands, 1)
	assert.Equal(t, said.Command, commands[0].ID)
	plain, err := seal.NewDataKeys(p.host(o.org).DataKeys[0]).Open(place.Command(o.org, said.Command), commands[0].ArgsSealed)
	require.NoError(t, err)
	var args config.Command
	require.NoError(t, json.Unmarshal(plain, &args))
	assert.Equal(t, config.OutcomeDone, args.Outcome)
	assert.JSONEq(t, `{"number":"B-1"}`, string(args.Output))
}

// TestAnswersThatAreKeptOnce: a step's value may stand in the ledger alone, and a run's
// output in the journal; both are shown whole. What names nothing that is there is an
// error, and no empty answer, unless the run is just being removed.
func TestAnswersThatAreKeptOnce(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	o.deploy(billing)
	for name, c := range map[string]struct {
		names  string
		status int
	}{"there": {"/do/0/map", http.StatusOK}, "nowhere": {"/do/1/map", http.StatusInternalServerError}} {
		id, effect := o.run(o.called(), store.RunRunning), schema.NewID(schema.PrefixEffect)
		row, err := p.cells[o.org].Work().GetRun(t.Context(), o.namespace, id)
		require.NoError(t, err, name)
		now := time.Now()
		require.NoError(t, p.cells[o.org].Work().Commit(t.Context(), store.RunCommit{
			Run: id, Carrier: row.Carrier, Epoch: row.Epoch,
			Steps: []store.Step{{
				Run: id, Key: "/do/0/map", Pointer: "/do/0/map", Kind: "call", Phase: "whole", State: store.StepDone, StartedAt: now, EndedAt: now,
				RecordSealed: o.seals(place.Step(o.org, id, "/do/0/map"), task.Record{
					Result: task.StepResult{Output: "/do/0/map"}, From: map[task.Ref]string{"/do/0/map": c.names},
				}),
			}},
			Effects: []store.Effect{{
				ID: effect, Run: id, Key: "/do/0/map", Connection: "con", Action: "request", Digest: []byte{1}, IdempotencyKey: "k", Epoch: row.Epoch,
				Owner: row.Carrier, State: store.EffectDone, Attempts: 1, CreatedAt: now, UpdatedAt: now,
				OutcomeSealed: o.seals(place.Effect(o.org, effect), map[string]any{"output": map[string]int{"number": 7}}),
			}},
			End: &store.RunEnd{State: store.RunCompleted, At: now, ResultSealed: o.seals(place.Run(o.org, id), config.Result{From: "/do/0/map"})},
		}), name)
		answer := p.call("GET", "/v1/runs/"+id, o.bound, "")
		require.Equal(t, c.status, answer.status, name)
		if c.status != http.StatusOK {
			side, err := store.OpenCell(t.Context(), p.made[o.org].API, store.SideAPI)
			require.NoError(t, err)
			defer func() { require.NoError(t, side.Close()) }()
			door := side.Door()
			namespace, err := door.GetNamespace(t.Context(), o.namespace)
			require.NoError(t, err)
			heads, err := door.HeadsAfter(t.Context(), row.EventSeq-1, 1)
			require.NoError(t, err)
			require.NoError(t, door.Remove(t.Context(), store.Removal{
				Namespace: namespace, Before: now.Add(time.Hour), Events: heads, Runs: []string{id},
			}, store.AuditDraft{Actor: "test", Action: "test"}))
			require.Equal(t, http.StatusGone, p.call("GET", "/v1/runs/"+id, o.bound, "").status)
			continue
		}
		var shown api.RunDetail
		require.NoError(t, json.Unmarshal(answer.body, &shown))
		assert.JSONEq(t, `{"number":7}`, string(shown.Steps[0].Output))
		assert.JSONEq(t, `{"number":7}`, string(shown.Output))
		assert.JSONEq(t, `{"output":{"number":7}}`, string(shown.Effects[0].Outcome))
	}
}

func TestCommandsFitTheState(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	o.deploy(billing)
	for state, want := range map[string]int{
		store.RunPending: 202, store.RunRunning: 202, store.RunWaiting: 202, store.RunUncertain: 202,
		store.RunCompleted: 409, store.RunFailed: 409, store.RunCanceled: 409,
	} {
		id := o.run(o.called(), state)
		assert.Equal(t, want, p.call("POST", "/v1/runs/"+id+"/cancel", o.bound, `{}`).status, state)
	}
}

func TestPaging(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	o.deploy(billing)
	want := []string{}
	for range 5 {
		want = append([]string{o.called()}, want...)
	}
	var got []string
	for next := "?limit=2"; next != ""; {
		var page api.List[api.Event]
		p.must(http.StatusOK, p.call("GET", "/v1/events"+next, o.bound, ""), &page)
		for _, e := range page.Items {
			got = append(got, e.ID)
		}
		if next = ""; page.Next != "" {
			next = "?limit=2&after=" + page.Next
		}
	}
	assert.Equal(t, want, got)
	p.must(http.StatusUnprocessableEntity, p.call("GET", "/v1/audit?after=x", o.all, ""), nil)
	p.must(http.StatusUnprocessableEntity, p.call("GET", "/v1/audit?after=x.y", o.all, ""), nil)
}

// TestReferences: a foreign connection is not there, at whatever position.
func TestReferences(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o, theirs := p.tenant("acme"), p.tenant("globex")
	foreign := theirs.connection("books", "bearer")
	var elsewhere struct{ ID string }
	p.must(http.StatusCreated, p.call("POST", "/v1/connections", o.all, `{"name":"books","connector":"http"}`, with("X-Namespace", "staging")), &elsewhere)
	call := func(connection string) string {
		return `{"call":"http","with":{"method":"get","endpoint":{"uri":"https://a.example","authentication":{"use":"` + connection + `"}}}}`
	}
	document := func(tasks string) string {
		return `{"document":{"document":{"dsl":"1.0.3","namespace":"n","name":"refs","version":"1.0.0"},"do":[` + tasks + `]}}`
	}
	for _, id := range []string{foreign, elsewhere.ID, "books", schema.NewID(schema.PrefixConnection)} {
		for name, tasks := range map[string]string{
			"top":   `{"a":` + call(id) + `}`,
			"do":    `{"a":{"do":[{"b":` + call(id) + `}]}}`,
			"try":   `{"a":{"try":[{"b":` + call(id) + `}],"catch":{}}}`,
			"catch": `{"a":{"try":[{"b":{"set":{"x":1}}}],"catch":{"do":[{"c":` + call(id) + `}]}}}`,
			"for":   `{"a":{"for":{"in":"${ [1] }"},"do":[{"b":` + call(id) + `}]}}`,
			"then":  `{"a":{"set":{"x":1}}},{"b":` + call(id) + `}`,
		} {
			r := p.call("POST", "/v1/flows", o.bound, document(tasks))
			require.Equal(t, http.StatusUnprocessableEntity, r.status, "%s: %s", name, r.body)
			problem := r.problem(t)
			assert.Equal(t, "there is no such connection in the namespace", problem.Detail, "%s: %s", name, r.body)
			assert.NotContains(t, string(r.body), id)
		}
	}
	own := o.connection("books", "bearer")
	p.must(http.StatusCreated, p.call("POST", "/v1/flows", o.bound, document(`{"a":`+call("books")+`}`)), nil)
	p.must(http.StatusCreated, p.call("POST", "/v1/flows", o.bound, document(`{"a":`+call(own)+`}`)), nil)
}

func TestDeploy(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	var first, again, next api.Deployed
	p.must(http.StatusCreated, p.call("POST", "/v1/flows", o.bound, billing, with("Content-Type", "application/yaml")), &first)
	assert.True(t, first.Created)
	text, err := json.Marshal(map[string]string{"document": billing})
	require.NoError(t, err)
	p.must(http.StatusCreated, p.call("POST", "/v1/flows", o.bound, string(text)), &again)
	assert.False(t, again.Created)
	assert.Equal(t, first.Version, again.Version)
	p.must(http.StatusCreated, p.call("POST", "/v1/flows", o.bound, strings.Replace(billing, ".number", ".no", 1), with("Content-Type", "text/yaml; charset=utf-8")), &next)
	assert.Equal(t, 2, next.Version.Version)
	var shown api.FlowVersion
	for version, want := range map[string]string{"1": ".number", "2": ".no"} {
		p.must(http.StatusOK, p.call("GET", "/v1/flows/billing/versions/"+version, o.bound, ""), &shown)
		assert.Contains(t, string(shown.Document), want)
	}
	p.must(http.StatusNotFound, p.call("GET", "/v1/flows/billing/versions/3", o.bound, ""), nil)
	var versions api.List[api.FlowVersion]
	p.must(http.StatusOK, p.call("GET", "/v1/flows/billing/versions", o.bound, ""), &versions)
	assert.Len(t, versions.Items, 2)

	for name, c := range map[string]struct{ kind, body string }{
		"no document": {"application/json", `{}`}, "not JSON": {"application/json", `{"document":`}, "a number": {"application/json", `{"document":1}`},
		"odd type": {"text/html", billing}, "no flow": {"application/yaml", "a: 1"}, "bad yaml": {"application/yaml", "a: [1"},
		"bad type": {"/;;", billing}, "no tasks": {"application/yaml", "document: {dsl: 1.0.3, namespace: n, name: x, version: 1.0.0}\ndo: []"},
	} {
		r := p.call("POST", "/v1/flows", o.bound, c.body, with("Content-Type", c.kind))
		assert.Equal(t, http.StatusUnprocessableEntity, r.status, "%s: %s", name, r.body)
		r.problem(t)
	}
}

func TestConnectionRules(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	for body, pointer := range map[string]string{
		`{"name":"x","connector":"odd"}`:                                                                  "/connector",
		`{"name":"x","connector":"http","settings":{"base_url":"ftp://CANARY"}}`:                          "/settings/base_url",
		`{"name":"x","connector":"http","settings":{"CANARY":1}}`:                                         "/settings",
		`{"name":"x","connector":"http","settings":[]}`:                                                   "/settings",
		`{"name":"x","connector":"http","use":{"hosts":["https://CANARY"],"inject":{"scheme":"bearer"}}}`: "/use/hosts/0",
		`{"name":"x","connector":"http","use":{"hosts":["a.example"],"inject":{"scheme":"CANARY"}}}`:      "/use/inject/scheme",
		`{"name":"x","connector":"http","lookup":{"action":"CANARY","with":{},"found":"."}}`:              "/lookup/action",
		`{"name":"X y","connector":"http"}`:                                                               "/name",
		`{"name":"x","connector":"http","CANARY":1}`:                                                      "",
	} {
		r := p.call("POST", "/v1/connections", o.bound, body)
		require.Equal(t, http.StatusUnprocessableEntity, r.status, "%s: %s", body, r.body)
		problem := r.problem(t)
		assert.Equal(t, pointer, problem.Pointer, body)
		assert.NotContains(t, string(r.body), "CANARY")
	}
	p.must(http.StatusCreated, p.call("POST", "/v1/connections", o.bound, `{"name":"x","connector":"http"}`), nil)
	p.must(http.StatusConflict, p.call("POST", "/v1/connections", o.bound, `{"name":"x","connector":"http"}`), nil)
	p.must(http.StatusConflict, p.call("GET", "/v1/connections/x/sealing", o.bound, ""), nil)
	p.must(http.StatusOK, p.call("PATCH", "/v1/connections/x", o.bound, `{"use":{"hosts":["a.example"],"inject":{"scheme":"bearer"}},"state":"suspended"}`), nil)
	var shown api.Connection
	p.must(http.StatusOK, p.call("GET", "/v1/connections/x", o.bound, ""), &shown)
	assert.Equal(t, "suspended", shown.State)
	assert.Empty(t, shown.IdempotencyHeader, "that a system honours keys is never assumed")
	require.NotNil(t, shown.Use)
	assert.Equal(t, []string{"a.example"}, shown.Use.Hosts)
}
