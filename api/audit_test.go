package api_test

import (
	"bytes"
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"
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
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/schema/token"
)

// act is one mutating request, ready to be made, and who makes it.
type act struct {
	actor string
	do    func() reply
	// each: it does several things, and its answer tells what became of each.
	each bool
}

// actorOf is the id of a key's text.
func actorOf(key string) string { return "key_" + strings.Split(key, "_")[1] }

// by makes a request with a key.
func (p *platform) by(key, method, path, body string, options ...option) act {
	return act{actor: actorOf(key), do: func() reply { return p.call(method, path, key, body, options...) }}
}

// credentialed is a connection with a credential.
func (o *tenant) credentialed(name string) string {
	id := o.connection(name, "bearer")
	r := o.p.call("PUT", "/v1/connections/"+id+"/credential", o.bound, `{"values":{"token":"a-fine-long-token"}}`)
	require.Less(o.p.t, r.status, 300, "%s", r.body)
	return id
}

// acts prepares each mutating operation of the interface once. There is none
// without a place in here.
func (p *platform) acts(o *tenant) map[string]func() act {
	n := 0
	fresh := func() string { n++; return fmt.Sprint("fresh-", n) }
	flow := o.deploy(billing)
	event := func() string {
		var accepted struct{ Event string }
		p.must(http.StatusAccepted, p.call("POST", "/v1/flows/billing/runs", o.bound, `{"input":{}}`), &accepted)
		return accepted.Event
	}
	source := func() (id, secret string) { return o.source(fresh(), "billing") }
	return map[string]func() act{
		"create-organization": func() act { return p.by(p.admin, "POST", "/v1/organizations", `{"name":"next"}`) },
		"create-key":          func() act { return p.by(o.all, "POST", "/v1/keys", `{"name":"k","permissions":["runs:read"]}`) },
		"create-namespace":    func() act { return p.by(o.all, "POST", "/v1/namespaces", `{"name":"`+fresh()+`"}`) },
		"update-namespace": func() act {
			return p.by(o.all, "PATCH", "/v1/namespaces/"+o.newNamespace(fresh()), `{"retention_days":30}`)
		},
		"create-connection": func() act {
			return p.by(o.bound, "POST", "/v1/connections", `{"name":"`+fresh()+`","connector":"http","settings":{"base_url":"https://b.example"},"use":{"hosts":["b.example"],"inject":{"scheme":"bearer"}}}`)
		},
		"update-connection": func() act {
			return p.by(o.bound, "PATCH", "/v1/connections/"+o.connection(fresh(), "bearer"), `{"state":"suspended"}`)
		},
		"delete-connection": func() act { return p.by(o.bound, "DELETE", "/v1/connections/"+o.connection(fresh(), "bearer"), "") },
		"put-credential": func() act {
			return p.by(o.bound, "PUT", "/v1/connections/"+o.connection(fresh(), "bearer")+"/credential", `{"values":{"token":"a-fine-long-token"}}`)
		},
		"test-credential": func() act {
			return p.by(o.bound, "POST", "/v1/connections/"+o.credentialed(fresh())+"/credential/test", `{}`)
		},
		"revoke-credential": func() act {
			return p.by(o.bound, "DELETE", "/v1/connections/"+o.credentialed(fresh())+"/credential", "")
		},
		"create-source": func() act {
			return p.by(o.bound, "POST", "/v1/sources", `{"name":"`+fresh()+`","flow":"billing"}`)
		},
		"update-source": func() act {
			id, _ := source()
			return p.by(o.bound, "PATCH", "/v1/sources/"+id, `{"state":"suspended"}`)
		},
		"delete-source": func() act {
			id, _ := source()
			return p.by(o.bound, "DELETE", "/v1/sources/"+id, "")
		},
		"create-schedule": func() act {
			return p.by(o.bound, "POST", "/v1/schedules", `{"name":"`+fresh()+`","flow":"billing","cron":"@yearly"}`)
		},
		"update-schedule": func() act {
			return p.by(o.bound, "PATCH", "/v1/schedules/"+o.schedule(`{"name":"`+fresh()+`","flow":"billing","cron":"@yearly"}`).ID, `{"state":"suspended"}`)
		},
		"delete-schedule": func() act {
			return p.by(o.bound, "DELETE", "/v1/schedules/"+o.schedule(`{"name":"`+fresh()+`","flow":"billing","cron":"@yearly"}`).ID, "")
		},
		"put-alert-target": func() act {
			return p.by(o.bound, "PUT", "/v1/alerts/target", `{"connection":"`+o.connection(fresh(), "bearer")+`","path":"/alerts"}`)
		},
		"test-alert": func() act {
			p.must(http.StatusOK, p.call("PUT", "/v1/alerts/target", o.bound, `{"connection":"`+o.connection(fresh(), "bearer")+`","path":"/alerts"}`), nil)
			return p.by(o.bound, "POST", "/v1/alerts/test", "")
		},
		"delete-alert-target": func() act {
			p.must(http.StatusOK, p.call("PUT", "/v1/alerts/target", o.bound, `{"connection":"`+o.connection(fresh(), "bearer")+`","path":"/alerts"}`), nil)
			return p.by(o.bound, "DELETE", "/v1/alerts/target", "")
		},
		"add-source-secret": func() act {
			id, _ := source()
			return p.by(o.bound, "POST", "/v1/sources/"+id+"/secrets", `{}`)
		},
		"retire-source-secret": func() act {
			id, _ := source()
			p.must(http.StatusCreated, p.call("POST", "/v1/sources/"+id+"/secrets", o.bound, `{}`), nil)
			var secrets struct{ Items []struct{ ID string } }
			p.must(http.StatusOK, p.call("GET", "/v1/sources/"+id+"/secrets", o.bound, ""), &secrets)
			require.Len(p.t, secrets.Items, 2)
			return p.by(o.bound, "DELETE", "/v1/sources/"+id+"/secrets/"+secrets.Items[1].ID, "")
		},
		"deploy-flow": func() act {
			return p.by(o.bound, "POST", "/v1/flows", strings.Replace(billing, "name: billing", "name: "+fresh(), 1), with("Content-Type", "application/yaml"))
		},
		"update-flow": func() act {
			id := o.deploy(strings.Replace(billing, "name: billing", "name: "+fresh(), 1))
			return p.by(o.bound, "PATCH", "/v1/flows/"+id, `{"state":"paused"}`)
		},
		"start-run": func() act { return p.by(o.bound, "POST", "/v1/flows/"+flow+"/runs", `{"input":{}}`) },
		"cancel-run": func() act {
			return p.by(o.bound, "POST", "/v1/runs/"+o.run(event(), store.RunRunning)+"/cancel", `{}`)
		},
		"replay-event": func() act {
			failed := event()
			o.ended(failed)
			return p.by(o.bound, "POST", "/v1/events/"+failed+"/replay", `{"effects":"new"}`)
		},
		"replay-events": func() act {
			failed := event()
			o.ended(failed)
			a := p.by(o.bound, "POST", "/v1/events/replay", `{"effects":"new","events":["`+failed+`"]}`)
			a.each = true
			return a
		},
		"discard-dead-letter": func() act {
			failed := event()
			o.ended(failed)
			return p.by(o.bound, "POST", "/v1/dead-letters/"+failed+"/discard", `{}`)
		},
		"resolve-run": func() act {
			run, effect := o.uncertain(event())
			return p.by(o.bound, "POST", "/v1/runs/"+run+"/resolve", `{"effect":"`+effect+`","outcome":"failed"}`)
		},
		"receive-webhook": func() act {
			id, secret := source()
			signed := p.signed(secret, fresh(), `{}`)
			return act{actor: id, do: func() reply { return p.call("POST", "/v1/hooks/"+id, "", `{}`, signed...) }}
		},
		"record-engine-act": func() act {
			text, err := p.signer.Mint(token.Claims{Subject: "ops", Role: token.RoleOperator, Namespaces: []string{o.org}, Expires: time.Now().Add(time.Hour)})
			require.NoError(p.t, err)
			return act{actor: "operator:ops", do: func() reply {
				return p.call("POST", "/v1/engine/acts", text,
					`{"method":"TerminateWorkflowExecution","namespace":"`+o.org+`","workflow":"car_1","run":"","allowed":true}`, with("X-Namespace", o.org))
			}}
		},
		"update-settings": func() act { return p.by(o.all, "PATCH", "/v1/settings", `{"plaintext_credentials":true}`) },
		"revoke-key": func() act {
			key := p.key(o.all, `{"name":"gone","permissions":["runs:read"]}`)
			return p.by(o.all, "DELETE", "/v1/keys/"+actorOf(key), "")
		},
		"rotate-cell-keys": func() act {
			return p.by(o.all, "POST", "/v1/organizations/"+o.org+"/cell-keys/rotations", `{"kind":"data"}`)
		},
		"revoke-everything":   func() act { return p.by(p.admin, "POST", "/v1/organizations/"+o.org+"/revoke-everything", "") },
		"delete-organization": func() act { return p.by(p.admin, "DELETE", "/v1/organizations/"+o.org+"?confirm="+o.org, "") },
	}
}

// ended makes a run of the event that failed.
func (o *tenant) ended(event string) {
	o.p.t.Helper()
	run, work := o.run(event, store.RunRunning), o.p.cells[o.org].Work()
	r, err := work.GetRun(o.p.t.Context(), o.namespace, run)
	require.NoError(o.p.t, err)
	require.NoError(o.p.t, work.Commit(o.p.t.Context(), store.RunCommit{
		Run: run, Carrier: r.Carrier, Epoch: r.Epoch, End: &store.RunEnd{State: store.RunFailed, ErrorType: "runtime", At: time.Now()},
	}))
}

// uncertain makes a run that stopped at an effect of which nobody knows.
func (o *tenant) uncertain(event string) (run, effect string) {
	o.p.t.Helper()
	run, effect = o.run(event, store.RunRunning), schema.NewID(schema.PrefixEffect)
	work := o.p.cells[o.org].Work()
	r, err := work.GetRun(o.p.t.Context(), o.namespace, run)
	require.NoError(o.p.t, err)
	now := time.Now()
	require.NoError(o.p.t, work.Commit(o.p.t.Context(), store.RunCommit{
		Run: run, Carrier: r.Carrier, Epoch: r.Epoch, End: &store.RunEnd{State: store.RunUncertain, ErrorType: "uncertain", At: now},
		Effects: []store.Effect{{
			ID: effect, Run: run, Key: "k", Connection: "con_1", Action: "http.request", Digest: []byte{1}, IdempotencyKey: "i",
			Epoch: r.Epoch, State: store.EffectUncertain, Attempts: 1, CreatedAt: now, UpdatedAt: now,
		}},
	}))
	return run, effect
}

// last are the acts after which the organization is not as before, in their
// order.
var last = []string{"update-settings", "revoke-key", "rotate-cell-keys", "revoke-everything", "delete-organization"}

// files opens what an administrator with SQL has.
func (p *platform) files(org string) map[string]*sql.DB {
	p.t.Helper()
	out := map[string]*sql.DB{}
	for name, path := range map[string]string{"control": p.dir + "/control.db", "door": p.dir + "/cells/" + org + "/door/door.db"} {
		db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
		require.NoError(p.t, err)
		p.t.Cleanup(func() { _ = db.Close() })
		out[name] = db
	}
	return out
}

// dump is every row of every table but the audit log, and but what is noted of
// uses and of work to do, which are no acts.
func dump(t *testing.T, databases map[string]*sql.DB) string {
	t.Helper()
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(databases)) {
		db := databases[name]
		for _, table := range column(t, db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('audit', 'cells', 'timers', 'sqlite_sequence') ORDER BY name") {
			columns := column(t, db, "SELECT name FROM pragma_table_info('"+table+"') WHERE name <> 'last_used_at'")
			rows := column(t, db, "SELECT quote("+strings.Join(columns, ") || '|' || quote(")+") FROM "+table+" ORDER BY 1")
			fmt.Fprintln(&out, name, table, len(rows), rows)
		}
	}
	return out.String()
}

func column(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var s string
		require.NoError(t, rows.Scan(&s))
		out = append(out, s)
	}
	require.NoError(t, rows.Err())
	return out
}

// entries are what the control chain and the door's say of the organization.
func (p *platform) entries(org string) []audit.Entry {
	p.t.Helper()
	control, err := p.control.ListAudit(p.t.Context(), store.AuditFilter{Limit: store.MaxPage})
	require.NoError(p.t, err)
	door, err := p.cells[org].Door().ListAudit(p.t.Context(), store.AuditFilter{Limit: store.MaxPage})
	require.NoError(p.t, err)
	return append(control, door...)
}

// Invariant 8: every mutating operation of the document leaves its entry, with
// who did it, in the transaction of the act: where the entry cannot be written,
// nothing is.
func TestEveryMutationIsRecorded(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	acts := p.acts(o)
	var ids []string
	for route, op := range p.operations() {
		// Decoding reads, though it is a POST.
		if method, _, _ := strings.Cut(route, " "); method != http.MethodGet && op.ID != "decode-payloads" {
			require.Contains(t, acts, op.ID, "a new operation that changes something: say how it is made")
			ids = append(ids, op.ID)
		}
	}
	require.Len(t, acts, len(ids))
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(slices.Index(last, a), slices.Index(last, b)), cmp.Compare(a, b))
	})
	databases := p.files(o.org)
	for _, id := range ids {
		t.Run(id, func(t *testing.T) {
			made := acts[id]()
			for _, db := range databases {
				_, err := db.ExecContext(t.Context(), "CREATE TRIGGER blocked BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'blocked'); END")
				require.NoError(t, err)
			}
			before := dump(t, databases)
			r := made.do()
			if !made.each {
				assert.GreaterOrEqual(t, r.status, 500, "%s", r.body)
			}
			assert.Equal(t, before, dump(t, databases), "without its entry nothing is done")
			for _, db := range databases {
				_, err := db.ExecContext(t.Context(), "DROP TRIGGER blocked")
				require.NoError(t, err)
			}
			known := p.entries(o.org)
			r = made.do()
			require.Less(t, r.status, 300, "%s", r.body)
			fresh := slices.DeleteFunc(p.entries(o.org), func(e audit.Entry) bool {
				return slices.ContainsFunc(known, func(k audit.Entry) bool { return k.ID == e.ID })
			})
			require.NotEmpty(t, fresh)
			for _, e := range fresh {
				assert.Equal(t, made.actor, e.Actor, "%s %s", e.Chain, e.Action)
				assert.NotEmpty(t, e.Action)
				assert.NotEmpty(t, e.Target)
				if e.Chain == store.ChainControl {
					assert.NotEmpty(t, e.Organization, "whom it concerns")
				}
			}
		})
	}
	for _, c := range []*store.Chains{p.control.Chains(), p.cells[o.org].Chains()} {
		for _, name := range c.Names() {
			w := audit.NewWalker(name, audit.Head{})
			require.NoError(t, c.Walk(t.Context(), name, w))
			_, found := w.End()
			require.Empty(t, found)
		}
	}
}

type auditPage struct {
	Items []api.AuditEntry
	Next  string
}

// pages reads a list to its end.
func (p *platform) pages(path, key string) []api.AuditEntry {
	p.t.Helper()
	var all []api.AuditEntry
	for next := ""; ; {
		var page auditPage
		p.must(http.StatusOK, p.call("GET", path+"&after="+next, key, ""), &page)
		all = append(all, page.Items...)
		if next = page.Next; next == "" {
			return all
		}
	}
}

// One log over all chains: in order, each entry once however small the pages
// are and whatever is written meanwhile, by filters, and to each caller its own.
func TestOneLog(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p := newPlatformOn(t, t.TempDir(), b)
		o, theirs := p.tenant("acme"), p.tenant("globex")
		o.connection("books", "bearer")
		theirs.connection("books", "bearer")
		work := p.cells[o.org].Work()
		for i := range 5 {
			require.NoError(t, work.AppendAudit(t.Context(), store.AuditDraft{Actor: "run_1", Action: "run.started", Target: fmt.Sprint("run_", i), Namespace: o.namespace}))
		}
		p.key(o.all, `{"namespace":"staging","name":"elsewhere","permissions":["runs:read"]}`)

		all := p.pages("/v1/audit?limit=200", o.all)
		chains := map[string]int{}
		for i, e := range all {
			chains[e.Chain]++
			assert.NotContains(t, fmt.Sprint(e), theirs.org)
			if i > 0 {
				assert.False(t, e.At.After(all[i-1].At), "newest first")
			}
		}
		assert.Equal(t, 5, chains["work"])
		assert.Positive(t, chains["door"])
		assert.Positive(t, chains["control"], "keys and routes are the organization's too")

		var paged []api.AuditEntry
		for next, first := "", true; first || next != ""; first = false {
			var page auditPage
			p.must(http.StatusOK, p.call("GET", "/v1/audit?limit=2&after="+next, o.all, ""), &page)
			require.LessOrEqual(t, len(page.Items), 2)
			paged, next = append(paged, page.Items...), page.Next
			require.NoError(t, work.AppendAudit(t.Context(), store.AuditDraft{Actor: "run_1", Action: "later", Target: "run_9"}))
		}
		assert.Equal(t, all, paged)

		for query, want := range map[string]func(api.AuditEntry) bool{
			"actor=run_1":                func(e api.AuditEntry) bool { return e.Actor == "run_1" && e.Action != "later" },
			"action=run.started":         func(e api.AuditEntry) bool { return e.Action == "run.started" },
			"target=run_3":               func(e api.AuditEntry) bool { return e.Target == "run_3" },
			"namespace=staging":          func(e api.AuditEntry) bool { return e.Namespace == o.other },
			"action=key.create":          func(e api.AuditEntry) bool { return e.Action == "key.create" },
			"action=nothing":             func(api.AuditEntry) bool { return false },
			"until=2001-01-01T00:00:00Z": func(api.AuditEntry) bool { return false },
			"since=" + all[2].At.Format("2006-01-02T15:04:05.999999Z") + "&until=" + all[0].At.Format("2006-01-02T15:04:05.999999Z"): func(e api.AuditEntry) bool {
				return !e.At.Before(all[2].At) && e.At.Before(all[0].At)
			},
		} {
			got := slices.DeleteFunc(p.pages("/v1/audit?limit=3&"+query, o.all), func(e api.AuditEntry) bool { return e.Action == "later" })
			assert.Equal(t, ids(slices.DeleteFunc(slices.Clone(all), func(e api.AuditEntry) bool { return !want(e) })), ids(got), query)
		}

		// A key of one namespace sees that one; another's namespace is none.
		for _, e := range p.pages("/v1/audit?limit=50", o.bound) {
			assert.Equal(t, o.namespace, e.Namespace)
		}
		assert.Equal(t, http.StatusNotFound, p.call("GET", "/v1/audit?namespace=staging", o.bound, "").status)
		assert.Equal(t, http.StatusNotFound, p.call("GET", "/v1/audit?namespace="+theirs.namespace, o.all, "").status)
		assert.Equal(t, http.StatusForbidden, p.call("GET", "/v1/audit/checkpoints", o.bound, "").status)
		for _, cursor := range []string{"1", "1.2", "1.2.3.4", "a.b.c", "0.0.0", "-1.1.1", "9223372036854775808.1.1"} {
			assert.Equal(t, http.StatusUnprocessableEntity, p.call("GET", "/v1/audit?after="+cursor, o.all, "").status, cursor)
		}

		// The platform sees the control chain, and nothing of a cell's.
		platform := p.pages("/v1/platform/audit?limit=50", p.admin)
		for _, e := range platform {
			assert.Equal(t, "control", e.Chain)
		}
		for _, e := range p.pages("/v1/platform/audit?limit=50&organization="+theirs.org, p.admin) {
			assert.Equal(t, theirs.org, e.Organization)
		}
		assert.Equal(t, http.StatusForbidden, p.call("GET", "/v1/platform/audit", o.all, "").status)
		assert.Equal(t, http.StatusForbidden, p.call("GET", "/v1/audit", p.admin, "").status)
	})
}

func ids(entries []api.AuditEntry) []string {
	out := []string{}
	for _, e := range entries {
		out = append(out, e.ID)
	}
	return out
}

// What is exported verifies, with its checkpoints; what somebody changed in the
// file does not; a part of a log is one that says so.
func TestExportVerifies(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p := newPlatformOn(t, t.TempDir(), b)
		o, theirs := p.tenant("acme"), p.tenant("globex")
		o.connection("books", "bearer")
		for i := range 2*store.MaxPage + 1 {
			go func() {
				_ = p.cells[o.org].Work().AppendAudit(t.Context(), store.AuditDraft{Actor: "run_1", Action: "a", Target: fmt.Sprint(i)})
			}()
		}
		require.Eventually(t, func() bool {
			head, err := p.cells[o.org].Work().AuditHead(t.Context())
			return err == nil && head.Seq == 2*store.MaxPage+1
		}, 20*time.Second, 5*time.Millisecond)
		signer := audit.NewSigner()
		keys := audit.NewKeys(signer.Public())
		heads, err := p.cells[o.org].Chains().Heads(t.Context())
		require.NoError(t, err)
		require.NoError(t, p.control.PutCheckpoint(t.Context(), signer.Next(nil, o.org, time.Now(), heads)))

		export := func(path, key string) []byte {
			r := p.call("GET", path, key, "")
			require.Equal(t, http.StatusOK, r.status, "%s", r.body)
			require.Equal(t, "application/x-ndjson", r.header.Get("Content-Type"))
			return r.body
		}
		whole := export("/v1/audit/export", o.all)
		assert.NotContains(t, string(whole), theirs.org)
		report, err := audit.VerifyExport(bytes.NewReader(whole), keys)
		require.NoError(t, err)
		require.Empty(t, report.Findings)
		assert.EqualValues(t, 1, report.Checkpoints)
		assert.Equal(t, []string{"control"}, report.Parts)
		assert.Zero(t, report.Unsigned)
		assert.Equal(t, heads, report.Heads)

		lines := bytes.SplitAfter(whole, []byte("\n"))
		edited := bytes.Join(lines, nil)
		edited = bytes.Replace(edited, []byte(`"actor":"run_1"`), []byte(`"actor":"run_2"`), 1)
		removed := bytes.Join(slices.Delete(slices.Clone(lines), 20, 21), nil)
		removed = bytes.Replace(removed, fmt.Appendf(nil, `"entries":%d`, report.Entries), fmt.Appendf(nil, `"entries":%d`, report.Entries-1), 1)
		for name, text := range map[string][]byte{"edited": edited, "removed": removed} {
			report, err := audit.VerifyExport(bytes.NewReader(text), keys)
			require.NoError(t, err, name)
			require.NotEmpty(t, report.Findings, name)
		}
		_, err = audit.VerifyExport(bytes.NewReader(bytes.Join(lines[:len(lines)-2], nil)), keys)
		require.Equal(t, schema.CodeInvalid, schema.CodeOf(err), "cut short")

		part := export("/v1/audit/export?action=a", o.all)
		report, err = audit.VerifyExport(bytes.NewReader(part), keys)
		require.NoError(t, err)
		require.Empty(t, report.Findings)
		assert.EqualValues(t, 2*store.MaxPage+1, report.Entries)
		assert.Equal(t, []string{"control", "door", "work"}, report.Parts)
		bound := export("/v1/audit/export", o.bound)
		assert.NotContains(t, string(bound), `"checkpoint"`)
		for line := range bytes.Lines(bound) {
			var l audit.Line
			require.NoError(t, json.Unmarshal(line, &l))
			if l.Entry != nil {
				assert.Equal(t, o.namespace, l.Entry.Namespace)
			}
		}
		report, err = audit.VerifyExport(bytes.NewReader(export("/v1/platform/audit/export", p.admin)), keys)
		require.NoError(t, err)
		require.Empty(t, report.Findings)
		assert.Empty(t, report.Parts)

		var signed struct{ Items []audit.Checkpoint }
		p.must(http.StatusOK, p.call("GET", "/v1/audit/checkpoints", o.all, ""), &signed)
		require.Len(t, signed.Items, 1)
		require.NoError(t, audit.Follows(nil, &signed.Items[0], o.org, keys))
		p.must(http.StatusOK, p.call("GET", "/v1/platform/audit/checkpoints", p.admin, ""), &signed)
		require.Empty(t, signed.Items)
	})
}

// refusals are the counts of a log, by actor, action, target and namespace.
func (p *platform) refusals(path, key string) map[string]int64 {
	p.t.Helper()
	found := map[string]int64{}
	for _, e := range p.pages(path, key) {
		if strings.HasSuffix(e.Action, ".refuse") {
			var detail struct{ Count int64 }
			require.NoError(p.t, json.Unmarshal(e.Detail, &detail))
			found[strings.Join([]string{e.Actor, e.Action, e.Target, e.Namespace}, " ")] += detail.Count
		}
	}
	return found
}

// A flood of forged messages, wrong keys and refused calls is an entry for each
// kind, with the count, and no entry each.
func TestRefusalsAreCounted(t *testing.T) {
	t.Parallel()
	const period = 200 * time.Millisecond
	p := newPlatform(t, func(c *api.Config) { c.Limits.Refusals = period })
	o := p.tenant("acme")
	o.deploy(billing)
	source, _ := o.source("shop", "billing")
	reader := p.key(o.all, `{"namespace":"prod","name":"reader","permissions":["runs:read"]}`)
	before, began := len(p.entries(o.org)), time.Now()
	for range 50 {
		require.Equal(t, http.StatusUnauthorized, p.call("POST", "/v1/hooks/"+source, "", `{}`).status)
		require.Equal(t, http.StatusUnauthorized, p.call("POST", "/v1/hooks/"+schema.NewID(schema.PrefixSource), "", `{}`).status)
		require.Equal(t, http.StatusUnauthorized, p.call("GET", "/v1/namespaces", "tk_x_y", "").status)
		require.Equal(t, http.StatusForbidden, p.call("GET", "/v1/connections", reader, "").status)
		require.Equal(t, http.StatusNotFound, p.call("GET", "/v1/runs/"+schema.NewID(schema.PrefixRun), reader, "").status)
	}
	counts := func() map[string]int64 {
		found := p.refusals("/v1/audit?limit=50", o.all)
		maps.Copy(found, p.refusals("/v1/platform/audit?limit=50", p.admin))
		return found
	}
	want := map[string]int64{
		"unknown event.refuse " + source + " " + o.namespace:               50,
		"unknown event.refuse  ":                                           50,
		"unknown login.refuse  ":                                           50,
		actorOf(reader) + " access.refuse list-connections " + o.namespace: 50,
		actorOf(reader) + " access.refuse get-run " + o.namespace:          50,
	}
	require.Eventually(t, func() bool { return assert.ObjectsAreEqual(want, counts()) }, 20*time.Second, 50*time.Millisecond, "%v", counts())
	// Of each of the five kinds, one in each period.
	assert.LessOrEqual(t, len(p.entries(o.org))-before, 5*(2+int(time.Since(began)/period)), "bounded, however many there were")
}
