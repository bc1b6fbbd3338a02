package isolation_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

// prefixes are the identifiers, by the name of what takes one. A name that is
// neither here nor in plain fails the walk: it must be said which it is.
var prefixes = map[string]schema.Prefix{
	"organization": schema.PrefixOrganization, "namespace": schema.PrefixNamespace, "X-Namespace": schema.PrefixNamespace,
	"connection": schema.PrefixConnection, "flow": schema.PrefixFlow, "source": schema.PrefixSource, "schedule": schema.PrefixSchedule, "secret": schema.PrefixSecret,
	"event": schema.PrefixEvent, "events": schema.PrefixEvent, "run": schema.PrefixRun, "effect": schema.PrefixEffect, "key": schema.PrefixKey,
}

// plain are parameters and fields that take no identifier; actor and target
// are compared with what the log of the own organization says.
var plain = strings.Fields(`version limit after since until action actor target state unused_days due_days confirm Idempotency-Key
Content-Type connector idempotency_header lookup name rotation_days settings use rotate_by sealed values document input kind
permissions expires_at reason outcome output plaintext_credentials hmac identity mtls order secrets tolerance topics url
verifier verify_token retire_others effects from to retention_days
cron timezone every catch_up overlap path kinds
max_concurrent_calls max_concurrent_runs throttle_patience uncertain`)

// bodies are requests that only their identifiers can get refused.
var bodies = map[string]string{
	"create-key":        `{"name":"x","permissions":["events:read"],"namespace":"NAMESPACE"}`,
	"create-namespace":  `{"name":"next"}`,
	"update-namespace":  `{"retention_days":30}`,
	"create-connection": `{"name":"next","connector":"http"}`,
	"update-connection": `{"state":"suspended"}`,
	"put-credential":    `{"values":{"token":"x"}}`,
	"create-source":     `{"name":"next","flow":"FLOW"}`,
	"update-source":     `{"state":"suspended"}`,
	"create-schedule":   `{"name":"next","flow":"FLOW","cron":"@yearly"}`,
	"update-schedule":   `{"state":"suspended"}`,
	"put-alert-target":  `{"connection":"CONNECTION","path":"/alerts"}`,
	"test-alert":        ``,
	"add-source-secret": `{}`,
	"deploy-flow":       strings.ReplaceAll(document, "billing", "smuggled"),
	"update-flow":       `{"state":"paused"}`,
	"start-run":         `{"input":1}`,
	"cancel-run":        `{}`,
	"resolve-run":       `{"effect":"EFFECT","outcome":"failed"}`,
	"decode-payloads":   `{"payloads":[]}`,
	"rotate-cell-keys":  `{"kind":"data"}`,
	"replay-event":      `{"effects":"same"}`,
	"replay-events":     `{"effects":"same"}`,
	"update-settings":   `{"plaintext_credentials":true}`,
	"revoke-everything": ``,
	"test-credential":   ``,
}

// operation is what the walk reads of the served document.
type operation struct {
	ID         string `json:"operationId"`
	Scope      string `json:"x-tenon-scope"`
	Parameters []struct{ Name, In string }
	Body       struct {
		Content map[string]struct {
			Schema struct {
				Ref        string `json:"$ref"`
				Properties map[string]json.RawMessage
			}
		}
	} `json:"requestBody"`
}

// place is where a request takes an identifier.
type place struct{ in, name string }

// places lists them, and refuses a name that is not known.
func (s *site) places(op operation, schemas map[string]struct{ Properties map[string]json.RawMessage }) []place {
	s.Helper()
	var out []place
	see := func(in, name string) {
		if name == "$schema" || slices.Contains(plain, name) {
			return
		}
		_, ok := prefixes[name]
		require.True(s, ok, "%s takes %s in %s: is it an identifier?", op.ID, name, in)
		out = append(out, place{in, name})
	}
	for _, p := range op.Parameters {
		see(p.In, p.Name)
	}
	body := op.Body.Content["application/json"].Schema
	fields := body.Properties
	if ref := body.Ref; ref != "" {
		fields = schemas[ref[strings.LastIndex(ref, "/")+1:]].Properties
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		see("body", name)
	}
	return out
}

// request is one call of an operation in which every identifier is the
// caller's own, but for one.
func (s *site) request(method, path string, op operation, own *tenant, key string, at place, value string) reply {
	s.Helper()
	headers := map[string]string{"X-Namespace": "prod"}
	id := func(in, name string) string {
		if at.in == in && at.name == name {
			return value
		}
		return own.prod.ids[name]
	}
	for name := range prefixes {
		path = strings.ReplaceAll(path, "{"+name+"}", id("path", name))
	}
	path = strings.ReplaceAll(path, "{version}", "1")
	switch {
	case at.in == "query":
		path += "?" + at.name + "=" + value
	case at.in == "header":
		headers[at.name] = value
	case op.ID == "decode-payloads":
		headers["X-Namespace"] = own.org
	}
	body := bodies[op.ID]
	for _, name := range []string{"namespace", "flow", "effect", "connection"} {
		body = strings.ReplaceAll(body, strings.ToUpper(name), own.prod.ids[name])
	}
	if at.in == "body" {
		fields := map[string]any{}
		require.NoError(s, json.Unmarshal([]byte(body), &fields), op.ID)
		fields[at.name] = value
		if at.name == "events" {
			fields[at.name] = []string{value}
		}
		text, err := json.Marshal(fields)
		require.NoError(s, err)
		body = string(text)
	}
	got := s.call(method, path, key, body, headers)
	got.body = strings.ReplaceAll(got.body, value, "VALUE")
	got.header.Del("Content-Length")
	return got
}

// asks tells whether the place is a filter of what is listed, which may find
// nothing.
func (p place) asks(op operation) bool { return p.in == "query" || op.ID == "replay-events" }

// TestEveryIdentifierInEveryPlace walks the served document: each place of each
// operation that takes an identifier is given that of the other organization,
// of the caller's other namespace, and one that nobody has, by a key of the whole
// organization and by one of a namespace. The three answers are the same to the
// byte, and what they name does not change; and the attempts are on the caller's
// record, and on nobody else's.
func TestEveryIdentifierInEveryPlace(t *testing.T) {
	each(t, func(s *site) {
		own, other := s.tenant("acme"), s.tenant("globex")
		before := other.head()
		text, err := s.api.OpenAPI()
		require.NoError(s, err)
		var document struct {
			Paths      map[string]map[string]json.RawMessage
			Components struct {
				Schemas map[string]struct{ Properties map[string]json.RawMessage }
			}
		}
		require.NoError(s, json.Unmarshal(text, &document))
		walked, refused := 0, map[string]bool{}
		keys := map[string]string{"all": own.key, "bound": own.bound}
		for _, path := range slices.Sorted(maps.Keys(document.Paths)) {
			for _, method := range slices.Sorted(maps.Keys(document.Paths[path])) {
				var op operation
				if method == "parameters" || json.Unmarshal(document.Paths[path][method], &op) != nil {
					continue
				}
				if slices.Contains([]string{"platform", "public", "engine"}, op.Scope) {
					// For administrators; for who proves to be the sender; for the
					// engine, with an operator's token that names the organization.
					continue
				}
				for _, at := range s.places(op, document.Components.Schemas) {
					walked++
					name := op.ID + " " + at.in + " " + at.name
					kind := at.name
					if kind == "X-Namespace" {
						kind = "namespace"
						if op.ID == "decode-payloads" {
							kind = "organization"
						}
					}
					for which, key := range keys {
						nobody := s.request(strings.ToUpper(method), path, op, own, key, at, schema.NewID(prefixes[kind]))
						for whose, value := range map[string]string{"another organization's": other.prod.ids[kind], "another namespace's": own.staging.ids[kind]} {
							if whose == "another namespace's" && (kind == "organization" ||
								(which == "all" && (kind == "namespace" || op.Scope == "account" || op.Scope == "organization"))) {
								continue // It is of the organization, and so is the key.
							}
							got := s.request(strings.ToUpper(method), path, op, own, key, at, value)
							assert.Equal(s, nobody.status, got.status, "%s, %s, %s: %s", name, which, whose, got.body)
							assert.Equal(s, nobody.header, got.header, "%s, %s, %s", name, which, whose)
							assert.Equal(s, nobody.body, got.body, "%s, %s, %s", name, which, whose)
							if !at.asks(op) {
								assert.GreaterOrEqual(s, got.status, 400, "%s, %s, %s: %s", name, which, whose, got.body)
							}
							if got.status >= 400 {
								refused[which+" "+op.ID] = true
							}
						}
					}
				}
			}
		}
		require.Greater(s, walked, 60, "the walk looks in the wrong place")
		require.Equal(s, before, other.head(), "nothing was written for the other")

		require.NoError(s, s.close())
		recorded := map[string]bool{}
		entries, err := own.cell.Door().ListAudit(s.Context(), store.AuditFilter{Action: "access.refuse", Limit: store.MaxPage})
		require.NoError(s, err)
		kinds := map[string]bool{}
		for _, e := range entries {
			kind := e.Actor + e.Target + e.Namespace
			require.NotContains(s, kinds, kind, "one entry for an interval, however many attempts")
			kinds[kind] = true
			for which, key := range keys {
				if strings.HasPrefix(key, "tk_"+strings.TrimPrefix(e.Actor, "key_")+"_") {
					recorded[which+" "+e.Target] = true
				}
			}
			require.NoError(s, schema.CheckID(schema.PrefixKey, e.Actor))
		}
		require.Equal(s, refused, recorded)
		require.Equal(s, before, other.head(), "not even in the end")
	})
}

// head is the end of the door's chain.
func (o *tenant) head() any {
	o.s.Helper()
	head, err := o.cell.Door().AuditHead(o.s.Context())
	require.NoError(o.s, err)
	return head
}

// TestReferencesInDocuments puts the other organization's and the other
// namespace's connection at every string of a flow document: it is refused as
// one that nobody has, or it is data there and reaches nothing.
func TestReferencesInDocuments(t *testing.T) {
	each(t, func(s *site) {
		own, other := s.tenant("acme"), s.tenant("globex")
		headers := map[string]string{"X-Namespace": "prod"}
		texts := map[string]string{
			"http": document,
			"connector": `{"document":{"document":{"dsl":"1.0.3","namespace":"books","name":"by-connector","version":"1.0.0"},` +
				`"do":[{"try":{"try":[{"bill":{"call":"http.request:1@CONNECTION","with":{"method":"post","url":"/bills"}}}],"catch":{"do":[{"again":{"call":"http.request:1@CONNECTION","with":{"method":"post","url":"/bills"}}}]}}}]}}`,
		}
		foreign := []string{other.prod.ids["connection"], own.staging.ids["connection"]}
		tried := 0
		for name, text := range texts {
			var doc any
			require.NoError(s, json.Unmarshal([]byte(strings.ReplaceAll(text, "CONNECTION", own.prod.ids["connection"])), &doc))
			for i := range leaves(doc) {
				put := func(id string) reply {
					changed, err := json.Marshal(replaced(doc, i, own.prod.ids["connection"], id))
					require.NoError(s, err)
					return s.call("POST", "/v1/flows", own.key, string(changed), headers)
				}
				nobody := put(schema.NewID(schema.PrefixConnection))
				for _, id := range foreign {
					tried++
					got := put(id)
					require.Equal(s, nobody.status, got.status, "%s, string %d: %s", name, i, got.body)
					if got.status != http.StatusCreated {
						require.Equal(s, nobody.body, got.body, "%s, string %d", name, i)
					}
				}
			}
			for _, id := range foreign {
				got := s.call("POST", "/v1/flows", own.key, strings.ReplaceAll(text, "CONNECTION", id), headers)
				require.Equal(s, http.StatusUnprocessableEntity, got.status, "%s: %s", name, got.body)
			}
		}
		require.Greater(s, tried, 20)

		require.NoError(s, s.close())
		entries, err := own.cell.Door().ListAudit(s.Context(), store.AuditFilter{Action: "access.refuse", Target: "deploy-flow"})
		require.NoError(s, err)
		require.Len(s, entries, 1, "all of them are on the record, as one entry of an interval")
		require.Equal(s, own.prod.ids["namespace"], entries[0].Namespace)
		entries, err = other.cell.Door().ListAudit(s.Context(), store.AuditFilter{Action: "access.refuse"})
		require.NoError(s, err)
		require.Empty(s, entries)
	})
}

// leaves counts the strings of a value.
func leaves(v any) []struct{} {
	n := 0
	count(v, &n)
	return make([]struct{}, n)
}

func count(v any, n *int) {
	switch v := v.(type) {
	case string:
		*n++
	case []any:
		for _, e := range v {
			count(e, n)
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			count(v[k], n)
		}
	}
}

// replaced is the value with one string replaced: the part of it that names the
// own connection, or all of it.
func replaced(v any, which int, own, by string) any {
	n := -1
	var walk func(any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case string:
			if n++; n != which {
				return v
			}
			if strings.Contains(v, own) {
				return strings.ReplaceAll(v, own, by)
			}
			return by
		case []any:
			out := make([]any, len(v))
			for i, e := range v {
				out[i] = walk(e)
			}
			return out
		case map[string]any:
			out := make(map[string]any, len(v))
			for _, k := range slices.Sorted(maps.Keys(v)) {
				out[k] = walk(v[k])
			}
			return out
		default:
			return v
		}
	}
	return walk(v)
}
