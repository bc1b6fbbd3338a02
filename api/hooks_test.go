package api_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

func (p *platform) events(org string) int {
	p.t.Helper()
	rows, err := p.cells[org].Door().EventsAfter(p.t.Context(), 0, 1000)
	require.NoError(p.t, err)
	return len(rows)
}

// Invariant 5: 401, no row, no bell; also when the source has just been read for
// another message, as when many come.
func TestWebhookRefusals(t *testing.T) {
	t.Parallel()
	for name, busy := range map[string]bool{"nothing came before": false, "messages come": true} {
		t.Run(name, func(t *testing.T) { t.Parallel(); webhookRefusals(t, busy) })
	}
}

func webhookRefusals(t *testing.T, busy bool) {
	t.Helper()
	p := newPlatform(t)
	o := p.tenant("acme")
	o.deploy(billing)
	source, secret := o.source("shop", "billing")
	other, otherSecret := o.source("other", "billing")
	gone, goneSecret := o.source("gone", "billing")
	p.must(http.StatusNoContent, p.call("DELETE", "/v1/sources/"+gone, o.bound, ""), nil)
	body := `{"a":1}`
	came := func() {
		for source, secret := range map[string]string{source: secret, other: otherSecret} {
			p.must(http.StatusAccepted, p.call("POST", "/v1/hooks/"+source, "", body, p.signed(secret, "msg_0", body)...), nil)
		}
	}
	if busy {
		came()
	}
	rings, rows := p.rung(o.org), p.events(o.org)
	at := func(d time.Duration) []option {
		signer, err := standardwebhooks.NewWebhook(secret)
		require.NoError(t, err)
		when := time.Now().Add(d)
		signature, err := signer.Sign("msg_1", when, []byte(body))
		require.NoError(t, err)
		return []option{with("webhook-id", "msg_1"), with("webhook-timestamp", fmt.Sprint(when.Unix())), with("webhook-signature", signature)}
	}
	change := func(o option) []option { return append(p.signed(secret, "msg_1", body), o) }
	signature := func(f func(string) string) []option {
		return change(func(r *http.Request) { r.Header.Set("webhook-signature", f(r.Header.Get("webhook-signature"))) })
	}
	for name, c := range map[string]struct {
		source, body string
		options      []option
	}{
		"unsigned":              {source, body, nil},
		"empty signature":       {source, body, change(with("webhook-signature", ""))},
		"truncated signature":   {source, body, signature(func(s string) string { return s[:len(s)-4] })},
		"re-encoded signature":  {source, body, signature(func(s string) string { return strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(s) })},
		"wrong algorithm":       {source, body, signature(func(s string) string { return strings.Replace(s, "v1,", "v1a,", 1) })},
		"stale":                 {source, body, at(-6 * time.Minute)},
		"future":                {source, body, at(6 * time.Minute)},
		"replayed under new id": {source, body, change(with("webhook-id", "msg_2"))},
		"replayed id, new body": {source, `{"a":2}`, p.signed(secret, "msg_1", body)},
		"other source's secret": {source, body, p.signed(otherSecret, "msg_1", body)},
		"own secret elsewhere":  {other, body, p.signed(secret, "msg_1", body)},
		"empty body":            {source, "", p.signed(secret, "msg_1", body)},
		"truncated body":        {source, body[:4], p.signed(secret, "msg_1", body)},
		"re-encoded body":       {source, `{"a": 1}`, p.signed(secret, "msg_1", body)},
		"duplicate id":          {source, body, change(func(r *http.Request) { r.Header.Add("webhook-id", "msg_1") })},
		"duplicate timestamp":   {source, body, change(func(r *http.Request) { r.Header.Add("webhook-timestamp", r.Header.Get("webhook-timestamp")) })},
		"duplicate signature":   {source, body, change(func(r *http.Request) { r.Header.Add("webhook-signature", r.Header.Get("webhook-signature")) })},
		"deleted source":        {gone, body, p.signed(goneSecret, "msg_1", body)},
		"unknown source":        {schema.NewID(schema.PrefixSource), body, p.signed(secret, "msg_1", body)},
		"no source id":          {"shop", body, p.signed(secret, "msg_1", body)},
		"a key instead":         {source, body, []option{with("Authorization", "Bearer "+o.bound)}},
	} {
		t.Run(name, func(t *testing.T) {
			if busy {
				came()
			}
			r := p.call("POST", "/v1/hooks/"+c.source, "", c.body, c.options...)
			require.Equal(t, http.StatusUnauthorized, r.status, "%s", r.body)
			problem := r.problem(t)
			assert.Equal(t, "the message could not be verified", problem.Detail)
			assert.Empty(t, problem.Errors)
		})
	}
	assert.Equal(t, rows, p.events(o.org), "a refused message left a row")
	if !busy {
		assert.Equal(t, rings, p.rung(o.org), "a refused message rang")
	}
	p.must(http.StatusAccepted, p.call("POST", "/v1/hooks/"+source, "", body, p.signed(secret, "msg_1", body)...), nil)
	assert.Equal(t, rows+1, p.events(o.org))
}

// What a source accepts changes while messages come: from the moment that the change is
// answered, each is judged by it (invariant 5).
func TestRevokedWhileMessagesCome(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	o.deploy(billing)
	source, secret := o.source("shop", "billing")
	body, sent := `{"a":1}`, 0
	send := func(secret string) int {
		sent++
		return p.call("POST", "/v1/hooks/"+source, "", body, p.signed(secret, fmt.Sprint("msg_", sent), body)...).status
	}
	flow := func(state string) {
		p.must(http.StatusOK, p.call("PATCH", "/v1/flows/billing", o.bound, `{"state":"`+state+`"}`), nil)
	}
	at := func(state string) {
		p.must(http.StatusOK, p.call("PATCH", "/v1/sources/"+source, o.bound, `{"state":"`+state+`"}`), nil)
	}
	require.Equal(t, http.StatusAccepted, send(secret))

	var next struct{ ID, Secret string }
	p.must(http.StatusCreated, p.call("POST", "/v1/sources/"+source+"/secrets", o.bound, `{"retire_others":0}`), &next)
	assert.Equal(t, http.StatusUnauthorized, send(secret), "retired")
	assert.Equal(t, http.StatusAccepted, send(next.Secret), "new")
	assert.Equal(t, http.StatusUnauthorized, send(secret), "retired")

	at("suspended")
	assert.Equal(t, http.StatusServiceUnavailable, send(next.Secret), "suspended")
	assert.Equal(t, http.StatusUnauthorized, send(secret), "suspended, and retired")
	at("active")
	assert.Equal(t, http.StatusAccepted, send(next.Secret))
	flow("paused")
	assert.NotEqual(t, http.StatusAccepted, send(next.Secret), "the flow is paused")
	flow("active")
	assert.Equal(t, http.StatusAccepted, send(next.Secret))

	o.deploy(strings.Replace(billing, ".number", ".other", 1))
	assert.Equal(t, http.StatusAccepted, send(next.Secret))
	kept, err := p.cells[o.org].Door().EventsAfter(t.Context(), 0, 100)
	require.NoError(t, err)
	require.Len(t, kept, 5)
	assert.Equal(t, 2, kept[len(kept)-1].FlowVersion, "the version of when it came")

	p.must(http.StatusNoContent, p.call("DELETE", "/v1/sources/"+source, o.bound, ""), nil)
	assert.Equal(t, http.StatusUnauthorized, send(next.Secret), "deleted")
	assert.Equal(t, 5, p.events(o.org))
}

func TestWebhookBodies(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	o.deploy(billing)
	source, secret := o.source("shop", "billing")
	for i, c := range []struct{ body, want, encoding string }{
		{`{"a":1.10,"b":12345678901234567890}`, `{"a":1.10,"b":12345678901234567890}`, ""},
		{`token=x&y=z`, `"token=x\u0026y=z"`, ""},
		{"\xff\x00", `"/wA="`, "base64"},
		{"", `""`, ""},
	} {
		var accepted struct{ Event string }
		p.must(http.StatusAccepted, p.call("POST", "/v1/hooks/"+source, "", c.body, p.signed(secret, fmt.Sprint("m", i), c.body)...), &accepted)
		var event struct {
			Body     json.RawMessage
			Encoding string
		}
		p.must(http.StatusOK, p.call("GET", "/v1/events/"+accepted.Event, o.bound, ""), &event)
		assert.Equal(t, c.want, string(event.Body))
		assert.Equal(t, c.encoding, event.Encoding)
	}
}

// The same message many times at once is one event.
func TestWebhookOnce(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	o.deploy(billing)
	source, secret := o.source("shop", "billing")
	body := `{}`
	ids := make([]string, 24)
	var wg sync.WaitGroup
	options := p.signed(secret, "msg_1", body)
	for i := range ids {
		wg.Go(func() {
			r := p.call("POST", "/v1/hooks/"+source, "", body, options...)
			var accepted struct{ Event string }
			assert.Equal(t, http.StatusAccepted, r.status)
			assert.NoError(t, json.Unmarshal(r.body, &accepted))
			ids[i] = accepted.Event
		})
	}
	wg.Wait()
	for _, id := range ids {
		assert.Equal(t, ids[0], id)
	}
	assert.Equal(t, 1, p.events(o.org))
}

// Back-pressure comes before memory: the body of a refused request is not read.
func TestBackPressure(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, func(c *api.Config) {
		c.Limits.Body, c.Limits.InFlightBytes = 1<<10, 1<<10
	})
	o := p.tenant("acme")
	o.deploy(billing)
	source, secret := o.source("shop", "billing")
	large := strings.Repeat("x", 1<<10+1)
	r := p.call("POST", "/v1/hooks/"+source, "", large, p.signed(secret, "m", large)...)
	assert.Equal(t, http.StatusRequestEntityTooLarge, r.status)
	assert.Equal(t, "too_large", string(r.problem(t).Code))

	// One request holds all the room with a body that does not end.
	reader, writer := io.Pipe()
	begun, ended := make(chan struct{}), make(chan error, 1)
	// The server asks for the body only after it let the request in.
	patient := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	t.Cleanup(patient.CloseIdleConnections)
	go func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.server.URL+"/v1/hooks/"+source, reader)
		if err != nil {
			ended <- err
			return
		}
		req.Header.Set("Expect", "100-continue")
		resp, err := patient.Do(req)
		if err == nil {
			err = resp.Body.Close()
		}
		ended <- err
	}()
	go func() {
		_, _ = writer.Write(bytes.Repeat([]byte("x"), 16))
		close(begun)
	}()
	<-begun
	small := `{}`
	r = p.call("POST", "/v1/hooks/"+source, "", small, p.signed(secret, "m2", small)...)
	require.Equal(t, http.StatusServiceUnavailable, r.status)
	assert.NotEmpty(t, r.header.Get("Retry-After"))
	assert.Equal(t, "unavailable", string(r.problem(t).Code))
	require.NoError(t, writer.Close())
	require.NoError(t, <-ended)
	require.Eventually(t, func() bool {
		return p.call("POST", "/v1/hooks/"+source, "", small, p.signed(secret, "m3", small)...).status == http.StatusAccepted
	}, 5*time.Second, time.Millisecond)
}

// A suspended organization's sources are as good as none.
func TestSuspendedOrganization(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	o.deploy(billing)
	source, secret := o.source("shop", "billing")
	require.NoError(t, p.control.SetOrganizationState(t.Context(), o.org, store.OrganizationSuspended, store.AuditDraft{Actor: "system", Action: "organization.suspend", Target: o.org}))
	r := p.call("POST", "/v1/hooks/"+source, "", `{}`, p.signed(secret, "m", `{}`)...)
	assert.Equal(t, http.StatusUnauthorized, r.status)
	assert.Equal(t, http.StatusForbidden, p.call("GET", "/v1/runs", o.bound, "").status)
	assert.Zero(t, p.events(o.org))
}

// TestNoRoom: a cell that is full takes nothing new, and says again what it has.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, func(c *api.Config) { c.Limits.Disk = 6 << 20 })
	o := p.tenant("acme")
	o.deploy(billing)
	source, secret := o.source("shop", "billing")
	send := func(id, body string) reply {
		return p.call("POST", "/v1/hooks/"+source, "", body, p.signed(secret, id, body)...)
	}
	var first, again struct{ Event string }
	p.must(http.StatusAccepted, send("msg_1", `{"a":1}`), &first)
	noise := make([]byte, 400_000) // What is kept is compressed first.
	_, err := rand.Read(noise)
	require.NoError(t, err)
	large, n := `"`+base64.StdEncoding.EncodeToString(noise)+`"`, 0
	require.Eventually(t, func() bool {
		n++
		return send(fmt.Sprintf("msg_large_%d", n), large).status == http.StatusInsufficientStorage
	}, 20*time.Second, 10*time.Millisecond)
	kept := p.events(o.org)
	p.must(http.StatusAccepted, send("msg_1", `{"a":1}`), &again)
	require.Equal(t, first, again)
	p.must(http.StatusInsufficientStorage, send("msg_new", `{"a":1}`), nil)
	require.Equal(t, kept, p.events(o.org))
}

// A source's secret is replaced again and again while many send with what they know: in
// the log no event comes after the entry by which its secret was retired.
func TestMessagesAreJudgedByWhatHoldsWhenWritten(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	o.deploy(billing)
	source, secret := o.source("shop", "billing")
	var newest atomic.Value
	newest.Store(secret)
	var by sync.Map // event → the secret that it was signed with
	var wg sync.WaitGroup
	done := make(chan struct{})
	for g := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				secret, _ := newest.Load().(string)
				r := p.call("POST", "/v1/hooks/"+source, "", `{}`, p.signed(secret, fmt.Sprint(g, "/", i), `{}`)...)
				if r.status == http.StatusUnauthorized {
					continue
				}
				var accepted struct{ Event string }
				if !assert.Equal(t, http.StatusAccepted, r.status, "%s", r.body) || !assert.NoError(t, json.Unmarshal(r.body, &accepted)) { //nolint:testifylint // Not the goroutine of the test.
					return
				}
				by.Store(accepted.Event, secret)
			}
		})
	}
	secrets := map[string]int{secret: 0}
	var all struct{ Items []struct{ ID string } }
	p.must(http.StatusOK, p.call("GET", "/v1/sources/"+source+"/secrets", o.bound, ""), &all)
	require.Len(t, all.Items, 1)
	last := all.Items[0].ID
	for i := range 25 {
		var next struct{ ID, Secret string }
		p.must(http.StatusCreated, p.call("POST", "/v1/sources/"+source+"/secrets", o.bound, `{}`), &next)
		secrets[next.Secret] = i + 1
		p.must(http.StatusNoContent, p.call("DELETE", "/v1/sources/"+source+"/secrets/"+last, o.bound, ""), nil)
		newest.Store(next.Secret)
		last = next.ID
	}
	close(done)
	wg.Wait()
	retired, events, after := 0, 0, int64(0)
	for {
		entries, err := p.cells[o.org].Door().ListAudit(t.Context(), store.AuditFilter{Oldest: true, After: after, Limit: store.MaxPage})
		require.NoError(t, err)
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			after = e.Seq
			switch e.Action {
			case "source.secret.retire":
				retired++
			case "event.accept":
				events++
				secret, ok := by.Load(e.Target)
				require.True(t, ok, "an event that nobody was told of")
				require.GreaterOrEqual(t, secrets[secret.(string)], retired, "entry %d", e.Seq) //nolint:forcetypeassert // As it was stored.
			}
		}
	}
	require.Equal(t, 25, retired)
	require.Positive(t, events)
}
