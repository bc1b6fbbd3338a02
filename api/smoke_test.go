package api_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/pack"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// source makes a webhook source and returns its id and secret.
func (o *tenant) source(name, flow string) (id, secret string) {
	o.p.t.Helper()
	var s struct{ ID, Secret string }
	o.p.must(http.StatusCreated, o.p.call("POST", "/v1/sources", o.bound, `{"name":"`+name+`","flow":"`+flow+`"}`), &s)
	return s.ID, s.Secret
}

// signed are the headers of a message, made by the published library.
func (p *platform) signed(secret, id, body string) []option {
	p.t.Helper()
	at := p.clock.now()
	signer, err := standardwebhooks.NewWebhook(secret)
	require.NoError(p.t, err)
	signature, err := signer.Sign(id, at, []byte(body))
	require.NoError(p.t, err)
	return []option{with("webhook-id", id), with("webhook-timestamp", strconv.FormatInt(at.Unix(), 10)), with("webhook-signature", signature)}
}

func TestMainJob(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) { mainJob(t, newPlatformOn(t, t.TempDir(), b)) })
}

func mainJob(t *testing.T, p *platform) {
	t.Helper()
	o := p.tenant("acme")
	flow := o.deploy(billing)
	source, secret := o.source("shop", "billing")
	body := `{"number": 7}`

	var first, second struct{ Event string }
	p.must(http.StatusAccepted, p.call("POST", "/v1/hooks/"+source, "", body, p.signed(secret, "msg_1", body)...), &first)
	rings := p.rung(o.org)
	require.Positive(t, rings)
	p.must(http.StatusAccepted, p.call("POST", "/v1/hooks/"+source, "", body, p.signed(secret, "msg_1", body)...), &second)
	assert.Equal(t, first, second)
	assert.Greater(t, p.rung(o.org), rings)

	var event struct {
		Body    json.RawMessage
		Headers map[string]string
		Flow    string
		Version int
	}
	p.must(http.StatusOK, p.call("GET", "/v1/events/"+first.Event, o.bound, ""), &event)
	assert.JSONEq(t, body, string(event.Body))
	assert.Equal(t, flow, event.Flow)
	assert.Equal(t, 1, event.Version)
	assert.NotContains(t, event.Headers, "webhook-signature")

	// The cell reads what the API wrote, with its own half of the keys.
	host := p.host(o.org)
	keys := seal.NewDataKeys(host.DataKeys[0])
	events, err := p.cells[o.org].Door().EventsAfter(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, events, 1)
	plain, err := keys.Open(place.Event(o.org, events[0].ID), events[0].PayloadSealed)
	require.NoError(t, err)
	plain, err = pack.Unpack(plain)
	require.NoError(t, err)
	var payload config.Event
	require.NoError(t, json.Unmarshal(plain, &payload))
	assert.JSONEq(t, body, string(payload.Input()))

	// A call with the same key is one event; with another input it is refused.
	var call, again struct{ Event string }
	p.must(http.StatusAccepted, p.call("POST", "/v1/flows/billing/runs", o.bound, `{"input":{"a":1}}`, with("Idempotency-Key", "k1")), &call)
	p.must(http.StatusAccepted, p.call("POST", "/v1/flows/billing/runs", o.bound, `{"input": {"a": 1}}`, with("Idempotency-Key", "k1")), &again)
	assert.Equal(t, call, again)
	p.must(http.StatusConflict, p.call("POST", "/v1/flows/billing/runs", o.bound, `{"input":{"a":2}}`, with("Idempotency-Key", "k1")), nil)
	p.must(http.StatusAccepted, p.call("POST", "/v1/flows/billing/runs", o.bound, `{}`), &again)
	assert.NotEqual(t, call, again)

	// Every act is on the record, in order, and the chain holds.
	var audit struct {
		Items []struct {
			Action, Actor string
			Detail        json.RawMessage
		}
		Next string
	}
	p.must(http.StatusOK, p.call("GET", "/v1/audit?limit=3", o.all, ""), &audit)
	require.Len(t, audit.Items, 3)
	assert.Equal(t, "event.accept", audit.Items[0].Action)
	assert.NotEmpty(t, audit.Items[0].Detail)
	var actions []string
	for next := audit.Next; next != ""; next = audit.Next {
		audit.Next, audit.Items = "", nil
		p.must(http.StatusOK, p.call("GET", "/v1/audit?limit=3&after="+next, o.all, ""), &audit)
		for _, e := range audit.Items {
			actions = append(actions, e.Action)
		}
	}
	assert.Equal(t, []string{
		"route.create", "source.create", "flow.deploy", "key.create", "namespace.create", "namespace.create", "key.create",
		"organization.activate", "organization.create",
	}, actions)
	_, err = p.cells[o.org].Door().VerifyAudit(t.Context())
	require.NoError(t, err)
}

func TestProvisioning(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	var org struct{ ID, State string }
	p.must(http.StatusCreated, p.call("POST", "/v1/organizations", p.admin, `{"name":"new"}`), &org)
	assert.Equal(t, "provisioning", org.State)
	assert.Equal(t, 1, p.rung(org.ID))
	key := p.key(p.admin, `{"organization":"`+org.ID+`","name":"first","permissions":["*"]}`)
	r := p.call("GET", "/v1/namespaces", key, "")
	require.Equal(t, http.StatusServiceUnavailable, r.status)
	assert.NotEmpty(t, r.header.Get("Retry-After"))
	assert.Equal(t, "unavailable", string(r.problem(t).Code))
	p.provision(org.ID)
	p.must(http.StatusOK, p.call("GET", "/v1/namespaces", key, ""), nil)
	p.must(http.StatusOK, p.call("GET", "/v1/organizations/"+org.ID, key, ""), &org)
	assert.Equal(t, "active", org.State)
	p.must(http.StatusOK, p.call("GET", "/v1/health", "", ""), nil)
	p.must(http.StatusOK, p.call("GET", "/v1/ready", "", ""), nil)
	p.clock.move(time.Second)
}
