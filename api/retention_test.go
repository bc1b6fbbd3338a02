package api_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

const day = 24 * time.Hour

// keeping is a platform whose clock stands still, and that sweeps when it is told.
func keeping(t *testing.T, b storetest.Backend) *platform {
	t.Helper()
	p := newPlatformOn(t, t.TempDir(), b, func(c *api.Config) { c.Limits.Sweep = time.Hour })
	p.clock.set(time.Now().Truncate(time.Microsecond))
	return p
}

// sweep goes on to a time and lets the API, and then every cell, remove what is
// past its retention.
func (p *platform) sweep(to time.Time) {
	p.t.Helper()
	p.clock.set(to)
	require.NoError(p.t, p.api.SweepDue(p.t.Context()), "%s", p.logs)
	for _, cell := range p.cells {
		p.removeRuns(cell)
	}
}

// removeRuns does what the cell does.
func (p *platform) removeRuns(cell *store.Cell) {
	p.t.Helper()
	for {
		cursor, err := cell.Work().Cursor(p.t.Context(), store.CursorRemovals)
		require.NoError(p.t, err)
		events, err := cell.Door().Removals(p.t.Context(), cursor, 100)
		require.NoError(p.t, err)
		if len(events) == 0 {
			return
		}
		_, kept, err := cell.Work().RemoveRuns(p.t.Context(), events, func(int) store.AuditDraft { return store.AuditDraft{Actor: "system", Action: "runs.remove"} })
		require.NoError(p.t, err)
		require.Empty(p.t, kept, "the API removed the event of a run that has not ended")
	}
}

func (o *tenant) keep(namespace string, days int) {
	o.p.t.Helper()
	o.p.must(http.StatusOK, o.p.call("PATCH", "/v1/namespaces/"+namespace, o.all, `{"retention_days":`+strconv.Itoa(days)+`}`), nil)
}

// ends gives an event a run that ends in the state at a time. An empty state
// leaves it running.
func (o *tenant) ends(event, state string, at time.Time) string {
	o.p.t.Helper()
	run := o.run(event, store.RunRunning)
	if state == "" {
		return run
	}
	o.p.cellEnds(o.org, run, state, at)
	return run
}

func (p *platform) cellEnds(org, run, state string, at time.Time) {
	p.t.Helper()
	work := p.cells[org].Work()
	row, _, _, err := work.LoadRun(p.t.Context(), run)
	require.NoError(p.t, err)
	opened := p.host(org)
	data := seal.NewDataKeys(opened.DataKeys[0], opened.DataKeys[1:]...)
	require.NoError(p.t, work.Commit(p.t.Context(), store.RunCommit{
		Run: run, Carrier: row.Carrier, Epoch: row.Epoch,
		Steps: []store.Step{{Run: run, Key: "/do/0", Kind: "call", State: store.StepDone, StartedAt: at, EndedAt: at, RecordSealed: data.Seal(place.Step(org, run, "/do/0"), []byte(`{}`))}},
		Effects: []store.Effect{{
			ID: schema.NewID(schema.PrefixEffect), Run: run, Key: "/do/0", Action: "request", Digest: []byte{1}, State: store.EffectDone, Epoch: row.Epoch,
		}},
		End: &store.RunEnd{State: state, At: at, ResultSealed: data.Seal(place.Run(org, run), []byte(`{"error":{"title":"no such supplier"}}`))},
	}))
}

// call starts a run by key, and with an Idempotency-Key unless that is empty.
func (o *tenant) callFlow(key string, input int) reply {
	var options []option
	if key != "" {
		options = append(options, with("Idempotency-Key", key))
	}
	return o.p.call("POST", "/v1/flows/billing/runs", o.bound, `{"input":{"number":`+strconv.Itoa(input)+`}}`, options...)
}

func (o *tenant) event(r reply) string {
	o.p.t.Helper()
	var accepted struct{ Event string }
	o.p.must(http.StatusAccepted, r, &accepted)
	return accepted.Event
}

// github is a source whose vendor signs neither a time nor an id.
func (o *tenant) github(name string) func(body string) reply {
	o.p.t.Helper()
	source := o.create(`{"name":"` + name + `","flow":"billing","verifier":"github"}`)
	return func(body string) reply {
		return o.p.call("POST", "/v1/hooks/"+source.ID, "", body, with("X-Hub-Signature-256", "sha256="+hexMAC(source.Secret, body)))
	}
}

func (o *tenant) status(path string) int {
	o.p.t.Helper()
	return o.p.call("GET", path, o.bound, "").status
}

func TestRetentionIsSet(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p := keeping(t, b)
		o, other := p.tenant("acme"), p.tenant("globex")
		start := p.clock.now()
		type shown struct {
			ID   string
			Days *int       `json:"retention_days"`
			From *time.Time `json:"retention_from"`
		}
		patch := func(key, name, body string) (int, shown) {
			r := p.call("PATCH", "/v1/namespaces/"+name, key, body)
			var n shown
			if r.status == http.StatusOK {
				p.must(http.StatusOK, r, &n)
				var again shown
				p.must(http.StatusOK, p.call("GET", "/v1/namespaces/"+o.namespace, key, ""), &again)
				assert.Equal(t, n, again)
			}
			return r.status, n
		}
		var n shown
		p.must(http.StatusOK, p.call("GET", "/v1/namespaces/prod", o.all, ""), &n)
		require.NotNil(t, n.Days)
		assert.Zero(t, *n.Days, "by default nothing is removed")
		assert.Nil(t, n.From)
		for _, bad := range []string{`-1`, `3651`, `1.5`, `"30"`, `[30]`, `1e99`} {
			r := p.call("PATCH", "/v1/namespaces/prod", o.all, `{"retention_days":`+bad+`}`)
			require.Contains(t, []int{http.StatusUnprocessableEntity, http.StatusBadRequest}, r.status, "%s: %s", bad, r.body)
			if r.status == http.StatusUnprocessableEntity {
				assert.Equal(t, "/retention_days", r.problem(t).Pointer, bad)
			}
		}
		r := p.call("PATCH", "/v1/namespaces/prod", o.all, `{"retention":30}`)
		require.Equal(t, http.StatusUnprocessableEntity, r.status, "%s", r.body)

		// Set, or shortened, it begins in a day; made longer it goes on; another day of
		// waiting comes of nothing that changes nothing.
		next := func(days int, want *time.Time) {
			t.Helper()
			status, n := patch(o.bound, "prod", `{"retention_days":`+strconv.Itoa(days)+`}`)
			require.Equal(t, http.StatusOK, status)
			require.Equal(t, days, *n.Days)
			if want == nil {
				require.Nil(t, n.From)
				return
			}
			require.NotNil(t, n.From)
			require.True(t, want.Equal(*n.From), "%s is not %s", n.From, want)
		}
		first, third := start.Add(day), start.Add(3*day)
		next(30, &first)
		p.clock.set(start.Add(2 * day))
		next(30, &first)
		next(90, &first)
		next(7, &third)
		next(0, nil)
		next(7, &third)
		status, _ := patch(o.all, o.namespace, `{}`)
		require.Equal(t, http.StatusOK, status)

		var made shown
		p.must(http.StatusCreated, p.call("POST", "/v1/namespaces", o.all, `{"name":"short","retention_days":1}`), &made)
		assert.Equal(t, 1, *made.Days)
		assert.True(t, third.Equal(*made.From))
		r = p.call("POST", "/v1/namespaces", o.all, `{"name":"bad","retention_days":-3}`)
		require.Equal(t, http.StatusUnprocessableEntity, r.status)
		var list struct{ Items []shown }
		p.must(http.StatusOK, p.call("GET", "/v1/namespaces", o.all, ""), &list)
		for _, item := range list.Items {
			require.NotNil(t, item.Days)
		}

		reader := p.key(o.all, `{"name":"reader","permissions":["namespaces:read"]}`)
		elsewhere := p.key(o.all, `{"namespace":"staging","name":"elsewhere","permissions":["*"]}`)
		for key, want := range map[string]int{
			reader: http.StatusForbidden, elsewhere: http.StatusNotFound, other.all: http.StatusNotFound, p.admin: http.StatusForbidden, "": http.StatusUnauthorized,
		} {
			status, _ := patch(key, o.namespace, `{"retention_days":1}`)
			assert.Equal(t, want, status)
		}
		next(7, &third)

		log, err := p.cells[o.org].Door().ListAudit(t.Context(), store.AuditFilter{Action: "namespace.update"})
		require.NoError(t, err)
		require.Len(t, log, 5, "what changes nothing is no act")
		assert.Equal(t, o.namespace, log[0].Target)
		opened := p.host(o.org)
		keys := seal.NewDataKeys(opened.DataKeys[0], opened.DataKeys[1:]...)
		if len(opened.AuditKeys) > 0 {
			keys = keys.WithAudit(opened.AuditKeys[0], opened.AuditKeys[1:]...)
		}
		plain, err := keys.Open(place.Audit(o.org, store.ChainDoor), log[0].Detail)
		require.NoError(t, err)
		var detail struct {
			Days   int `json:"retention_days"`
			Before int
		}
		require.NoError(t, json.Unmarshal(plain, &detail))
		assert.Equal(t, 7, detail.Days)
		assert.Zero(t, detail.Before)
	})
}

// What is past its retention goes, at the very time and not before; what is not,
// what is open, uncertain or a dead letter, what another namespace and another
// organization have, and the audit log stay.
func TestRetentionRemoves(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p := keeping(t, b)
		o, other := p.tenant("acme"), p.tenant("globex")
		o.deploy(billing)
		other.deploy(billing)
		push := o.github("hub")
		source, secret := o.source("shop", "billing")
		start := p.clock.now()
		end := start.Add(time.Minute)
		hook, keyed, plain := o.event(push(`{"n":1}`)), o.event(o.callFlow("k", 2)), o.event(o.callFlow("", 3))
		signed := o.event(p.call("POST", "/v1/hooks/"+source, "", `{"n":4}`, p.signed(secret, "m4", `{"n":4}`)...))
		runs := map[string]string{}
		for event, state := range map[string]string{hook: store.RunCompleted, keyed: store.RunCanceled, plain: store.RunCompleted, signed: store.RunCompleted} {
			runs[event] = o.ends(event, state, end)
		}
		late := o.event(push(`{"n":"late"}`))
		o.ends(late, store.RunCompleted, end.Add(time.Microsecond))
		dead, discarded := o.event(push(`{"n":5}`)), o.event(push(`{"n":6}`))
		o.ends(dead, store.RunFailed, end)
		runs[discarded] = o.ends(discarded, store.RunFailed, end)
		uncertain, open, unread := o.event(push(`{"n":7}`)), o.event(push(`{"n":8}`)), o.event(push(`{"n":9}`))
		asks, works := o.ends(uncertain, store.RunUncertain, end), o.ends(open, "", end)
		staging := p.key(o.all, `{"namespace":"staging","name":"staging","permissions":["*"]}`)
		p.must(http.StatusCreated, p.call("POST", "/v1/flows", staging, billing, with("Content-Type", "application/yaml")), nil)
		elsewhere := o.event(p.call("POST", "/v1/flows/billing/runs", staging, `{"input":1}`))
		theirs := other.event(other.callFlow("k", 2))
		other.ends(theirs, store.RunCompleted, end)
		gone := func(event string) bool { return o.status("/v1/events/"+event) == http.StatusGone }
		stays := []string{late, dead, uncertain, open, unread}

		o.keep("prod", 30)
		boundary := end.Add(30 * day)
		p.sweep(boundary.Add(-time.Microsecond))
		for event := range runs {
			require.False(t, gone(event), "before its time")
		}
		// The sweep of the next day would find it; this one is due now.
		require.NoError(t, p.control.ScheduleSweep(t.Context(), o.org, boundary))
		p.must(http.StatusNoContent, p.call("POST", "/v1/dead-letters/"+discarded+"/discard", o.bound, `{}`), nil)
		rings := p.rung(o.org)
		p.sweep(boundary)
		for _, event := range []string{hook, keyed, plain, signed} {
			require.True(t, gone(event), p.call("GET", "/v1/events/"+event, o.bound, "").body)
			require.Equal(t, http.StatusGone, o.status("/v1/runs/"+runs[event]))
		}
		assert.Greater(t, p.rung(o.org), rings, "a cell that sleeps is woken for its part")
		for _, event := range append(stays, discarded) {
			require.Equal(t, http.StatusOK, o.status("/v1/events/"+event))
		}
		for _, run := range []string{asks, works} {
			require.Equal(t, http.StatusOK, o.status("/v1/runs/"+run))
		}
		require.Equal(t, http.StatusOK, p.call("GET", "/v1/events/"+elsewhere, staging, "").status)
		require.Equal(t, http.StatusOK, other.status("/v1/events/"+theirs))

		// Invariants 5 and 7: a captured message that nothing makes stale is the same for
		// ever, and a call is not made twice.
		before := p.events(o.org)
		assert.Equal(t, hook, o.event(push(`{"n":1}`)))
		assert.Equal(t, signed, o.event(p.call("POST", "/v1/hooks/"+source, "", `{"n":4}`, p.signed(secret, "m4", `{"n":4}`)...)))
		r := o.callFlow("k", 2)
		require.Equal(t, http.StatusGone, r.status, "%s", r.body)
		assert.Equal(t, schema.CodeGone, r.problem(t).Code)
		assert.Equal(t, before, p.events(o.org), "something was started again")
		assert.Equal(t, http.StatusUnauthorized, p.call("POST", "/v1/hooks/"+source, "", `{"n":4}`).status)
		for path, body := range map[string]string{
			"/v1/events/" + hook + "/replay": `{"effects":"same"}`, "/v1/dead-letters/" + hook + "/discard": `{}`,
			"/v1/runs/" + runs[hook] + "/cancel": `{}`, "/v1/runs/" + runs[hook] + "/resolve": `{"effect":"eff_1","outcome":"failed"}`,
		} {
			problem := p.call("POST", path, o.bound, body).problem(t)
			assert.Equal(t, schema.CodeGone, problem.Code, path)
			assert.NotEmpty(t, problem.Hint)
		}
		assert.Equal(t, http.StatusNotFound, p.call("GET", "/v1/events/"+hook, staging, "").status, "the other namespace removes nothing")

		// What had to stay goes in its own time: a day after it was resolved, thirty
		// after it was discarded.
		p.cellEnds(o.org, works, store.RunCompleted, boundary)
		p.sweep(boundary.Add(day))
		for _, event := range []string{dead, uncertain, open, unread, discarded} {
			require.False(t, gone(event))
		}
		require.True(t, gone(late))
		p.sweep(boundary.Add(30 * day))
		require.True(t, gone(open))
		require.True(t, gone(discarded))
		p.sweep(boundary.Add(1000 * day))
		for _, event := range []string{dead, uncertain, unread} {
			require.False(t, gone(event))
		}
		require.Equal(t, http.StatusOK, p.call("GET", "/v1/events/"+elsewhere, staging, "").status)
		require.Equal(t, http.StatusOK, other.status("/v1/events/"+theirs))

		tables := map[string]string{"door": "events JOIN streams USING (stream)", "work": "runs JOIN programs USING (program)"}
		for side, table := range tables {
			left := storetest.Column(t, b.Administrator(t, p.made[o.org], side), "SELECT COUNT(*) FROM "+table+" WHERE namespace = '"+o.namespace+"'")
			want := map[string]string{"door": "3", "work": "2"}[side]
			assert.Equal(t, want, left[0], table)
		}
		for _, table := range []string{"steps", "effects"} {
			assert.Equal(t, []string{"2"}, storetest.Column(t, b.Administrator(t, p.made[o.org], "work"), "SELECT COUNT(*) FROM "+table))
		}
		door := p.cells[o.org].Door()
		_, err := door.VerifyAudit(t.Context())
		require.NoError(t, err)
		accepted, err := door.ListAudit(t.Context(), store.AuditFilter{Action: "event.accept", Limit: store.MaxPage})
		require.NoError(t, err)
		assert.Len(t, accepted, 11)
		removed, err := door.ListAudit(t.Context(), store.AuditFilter{Action: "events.remove"})
		require.NoError(t, err)
		require.Len(t, removed, 3)
		assert.Equal(t, o.namespace, removed[0].Namespace)
	})
}

// Invariant 7: a replay with the same effects asks the ledgers of all runs before
// it, by the keys of the first. They stay until the whole lineage may go.
func TestLineagesAreKeptWhole(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p := keeping(t, b)
		o := p.tenant("acme")
		o.deploy(billing)
		start := p.clock.now().Add(time.Minute)
		replay := func(event, effects, key string) reply {
			return p.call("POST", "/v1/events/"+event+"/replay", o.bound, `{"effects":"`+effects+`"}`, with("Idempotency-Key", key))
		}
		first := o.event(o.callFlow("", 1))
		root := o.ends(first, store.RunFailed, start)
		second := o.event(replay(first, "same", "a"))
		apart := o.event(replay(first, "new", "b"))
		o.ends(apart, store.RunCompleted, start)
		o.keep("prod", 1)

		// The replay has no run yet, then one that is open, then one that failed.
		p.sweep(start.Add(day))
		require.Equal(t, http.StatusOK, o.status("/v1/events/"+first))
		require.Equal(t, http.StatusGone, o.status("/v1/events/"+apart), "effects of its own")
		again := o.ends(second, "", start)
		p.sweep(start.Add(3 * day))
		require.Equal(t, http.StatusOK, o.status("/v1/events/"+first))
		p.cellEnds(o.org, again, store.RunFailed, start.Add(3*day))
		p.sweep(start.Add(6 * day))
		row, err := p.cells[o.org].Door().GetEvent(t.Context(), o.namespace, second)
		require.NoError(t, err)
		before, err := p.cells[o.org].Door().Lineage(t.Context(), row)
		require.NoError(t, err)
		from, effects, err := p.cells[o.org].Work().LineageEffects(t.Context(), before)
		require.NoError(t, err)
		assert.Equal(t, root, from, "the keys depend on the first run")
		assert.Len(t, effects, 1, "the first run's ledger")
		assert.Equal(t, apart, o.event(replay(first, "new", "b")), "asked for again it is the same replay, which is gone")

		third := o.event(replay(second, "same", "c"))
		o.ends(third, store.RunCompleted, start.Add(6*day))
		p.sweep(start.Add(7*day - time.Microsecond))
		require.Equal(t, http.StatusOK, o.status("/v1/events/"+first))
		p.sweep(start.Add(8 * day))
		for _, event := range []string{first, second, third} {
			require.Equal(t, http.StatusGone, o.status("/v1/events/"+event))
			require.Equal(t, http.StatusGone, replay(event, "same", "d").status)
		}
		assert.Zero(t, p.events(o.org))
	})
}

// Several processes look at once, while events come in and are replayed; each
// event is removed once, and what came is the same for ever.
func TestSweepersTogether(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p := keeping(t, b)
		o := p.tenant("acme")
		o.deploy(billing)
		push := o.github("hub")
		start := p.clock.now()
		const events = 250
		body := func(i int) string { return `{"n":` + strconv.Itoa(i) + `}` }
		first := make([]string, events)
		for i := range first {
			first[i] = o.event(push(body(i)))
		}
		o.p.ranAt(o, start)
		second, err := api.New(p.config)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, second.Close()) })
		o.keep("prod", 1)
		p.clock.set(start.Add(2 * day))
		var together sync.WaitGroup
		failed := make(chan error, 64)
		for _, server := range []*api.Server{p.api, second} {
			for range 4 {
				together.Go(func() {
					// Each is given it again, as one is whose lease has ended.
					if err := errors.Join(p.control.ScheduleSweep(t.Context(), o.org, start.Add(time.Hour)), server.SweepDue(t.Context())); err != nil {
						failed <- err
					}
				})
			}
		}
		for i := range 40 {
			together.Go(func() {
				if r := push(body(i)); r.status != http.StatusAccepted {
					failed <- errors.New(string(r.body))
				}
			})
		}
		together.Wait()
		close(failed)
		for err := range failed {
			require.NoError(t, err)
		}
		// Where two met, one of them has put off its look.
		require.NoError(t, p.control.ScheduleSweep(t.Context(), o.org, start.Add(time.Hour)))
		p.sweep(start.Add(2 * day))
		assert.Zero(t, p.events(o.org))
		removals := storetest.Column(t, b.Administrator(t, p.made[o.org], "door"), "SELECT COUNT(*) FROM removals")
		assert.Equal(t, []string{strconv.Itoa(events)}, removals)
		for i, id := range first {
			require.Equal(t, id, o.event(push(body(i))))
		}
		assert.Zero(t, p.events(o.org))
	})
}

// ranAt gives every event without a run one that completes at a time.
func (p *platform) ranAt(o *tenant, at time.Time) {
	p.t.Helper()
	cell := p.cells[o.org]
	events, err := cell.Door().EventsAfter(p.t.Context(), 0, 1000)
	require.NoError(p.t, err)
	for _, e := range events {
		run := store.Run{
			ID: schema.NewID(schema.PrefixRun), Namespace: e.Namespace, Event: e.ID, EventSeq: e.Seq, Flow: e.Flow,
			FlowVersion: e.FlowVersion, Digest: e.Digest, Carrier: "car", Epoch: 1,
		}
		require.NoError(p.t, cell.Work().StartRuns(p.t.Context(), []store.Run{run}, e.Seq, nil))
		require.NoError(p.t, cell.Work().Commit(p.t.Context(), store.RunCommit{Run: run.ID, Carrier: "car", Epoch: 1, End: &store.RunEnd{State: store.RunCompleted, At: at}}))
	}
}
