package api_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// ran does what the cell does: it gives every event without one a run, which
// ends in the state, or stays open with an empty one.
func (o *tenant) ran(state string) {
	o.p.t.Helper()
	ctx, cell := o.p.t.Context(), o.p.cells[o.org]
	at, err := cell.Work().Cursor(ctx, store.CursorEvents)
	require.NoError(o.p.t, err)
	events, err := cell.Door().EventsAfter(ctx, at, 1000)
	require.NoError(o.p.t, err)
	for _, ev := range events {
		run := store.Run{
			ID: schema.NewID(schema.PrefixRun), Namespace: ev.Namespace, Event: ev.ID, EventSeq: ev.Seq, Flow: ev.Flow,
			FlowVersion: ev.FlowVersion, Digest: ev.Digest, Carrier: schema.NewID(schema.PrefixCarrier), Epoch: 1, OrderKey: ev.OrderKey,
		}
		require.NoError(o.p.t, cell.Work().StartRuns(ctx, []store.Run{run}, ev.Seq, nil))
		if state == "" {
			continue
		}
		end := &store.RunEnd{State: state, At: time.Now()}
		if state == store.RunFailed {
			opened := o.p.host(o.org)
			end.ResultSealed = seal.NewDataKeys(opened.DataKeys[0], opened.DataKeys[1:]...).Seal(place.Run(o.org, run.ID), []byte(`{"error":{"title":"no such supplier"}}`))
		}
		require.NoError(o.p.t, cell.Work().Commit(ctx, store.RunCommit{Run: run.ID, Carrier: run.Carrier, Epoch: 1, End: end}))
	}
}

func TestReplaysAndDeadLetters(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p := newPlatformOn(t, t.TempDir(), b)
		o := p.tenant("acme")
		o.deploy(billing)
		source, secret := o.source("shop", "billing")
		send := func(i int) string {
			var accepted struct{ Event string }
			body := `{"number":` + strconv.Itoa(i) + `}`
			p.must(http.StatusAccepted, p.call("POST", "/v1/hooks/"+source, "", body, p.signed(secret, "m"+strconv.Itoa(i), body)...), &accepted)
			return accepted.Event
		}
		replay := func(event, body string, options ...option) (reply, string) {
			r := p.call("POST", "/v1/events/"+event+"/replay", o.bound, body, options...)
			var accepted struct{ Event string }
			if r.status == http.StatusAccepted {
				p.must(http.StatusAccepted, r, &accepted)
			}
			return r, accepted.Event
		}
		letters := func() (events []string) {
			var page struct {
				Items []struct {
					Event  string
					Reason struct{ Title string }
				}
			}
			p.must(http.StatusOK, p.call("GET", "/v1/dead-letters", o.bound, ""), &page)
			for _, item := range page.Items {
				assert.Equal(t, "no such supplier", item.Reason.Title)
				events = append(events, item.Event)
			}
			return events
		}
		one := send(1)
		r, _ := replay(one, `{"effects":"same"}`)
		require.Equal(t, http.StatusConflict, r.status, "an event without a run: %s", r.body)
		o.ran("")
		r, _ = replay(one, `{"effects":"same"}`)
		require.Equal(t, http.StatusConflict, r.status, "a run that has not ended: %s", r.body)
		r, _ = replay(one, `{}`)
		require.Equal(t, http.StatusUnprocessableEntity, r.status, "the caller chooses: %s", r.body)

		two, three, four := send(2), send(3), send(4)
		o.ran(store.RunFailed)
		require.Equal(t, []string{four, three, two}, letters())
		r = p.call("POST", "/v1/dead-letters/"+one+"/discard", o.bound, `{}`)
		require.Equal(t, http.StatusConflict, r.status, "a run that did not fail: %s", r.body)
		p.must(http.StatusNoContent, p.call("POST", "/v1/dead-letters/"+four+"/discard", o.bound, `{"reason":"a test"}`), nil)

		// Sent twice with one key, it is one replay.
		_, first := replay(two, `{"effects":"same"}`, with("Idempotency-Key", "k"))
		_, second := replay(two, `{"effects":"same"}`, with("Idempotency-Key", "k"))
		require.NotEmpty(t, first)
		require.Equal(t, first, second)
		require.Equal(t, []string{three}, letters())
		var shown struct {
			Origin string
			Body   struct{ Number int }
		}
		p.must(http.StatusOK, p.call("GET", "/v1/events/"+first, o.bound, ""), &shown)
		assert.Equal(t, two, shown.Origin)
		assert.Equal(t, 2, shown.Body.Number)
		stored, err := p.cells[o.org].Door().GetEvent(t.Context(), o.namespace, first)
		require.NoError(t, err)
		assert.Equal(t, two, stored.Lineage)
		o.ran(store.RunCompleted)
		_, again := replay(first, `{"effects":"same"}`)
		stored, err = p.cells[o.org].Door().GetEvent(t.Context(), o.namespace, again)
		require.NoError(t, err)
		assert.Equal(t, two, stored.Lineage, "a replay of a replay has the effects of the first run")
		before, err := p.cells[o.org].Door().Lineage(t.Context(), stored)
		require.NoError(t, err)
		assert.Len(t, before, 2)
		o.ran(store.RunCompleted)

		// By filter and time range, page by page; what does not fit is told.
		var page struct {
			Items []struct{ Event, Replay, Code string }
			Next  string
		}
		p.must(http.StatusOK, p.call("POST", "/v1/events/replay", o.bound, `{"effects":"new","flow":"billing","state":"failed"}`), &page)
		require.Len(t, page.Items, 3)
		p.must(http.StatusOK, p.call("POST", "/v1/events/replay", o.bound, `{"effects":"new","events":["`+one+`"]}`), &page)
		require.Len(t, page.Items, 1)
		assert.Equal(t, "conflict", page.Items[0].Code)
		past := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
		p.must(http.StatusOK, p.call("POST", "/v1/events/replay", o.bound, `{"effects":"new","to":"`+past+`"}`), &page)
		assert.Empty(t, page.Items)
		p.must(http.StatusOK, p.call("POST", "/v1/events/replay", o.bound, `{"effects":"new","limit":2,"source":"`+source+`"}`), &page)
		assert.NotEmpty(t, page.Next)

		// Another namespace's events are not there.
		elsewhere := p.key(o.all, `{"namespace":"staging","name":"elsewhere","permissions":["*"]}`)
		assert.Equal(t, http.StatusNotFound, p.call("POST", "/v1/events/"+two+"/replay", elsewhere, `{"effects":"new"}`).status)
		assert.Equal(t, http.StatusNotFound, p.call("POST", "/v1/dead-letters/"+three+"/discard", elsewhere, `{}`).status)
		reader := p.key(o.all, `{"namespace":"prod","name":"reader","permissions":["events:read"]}`)
		assert.Equal(t, http.StatusForbidden, p.call("POST", "/v1/events/replay", reader, `{"effects":"new"}`).status)
	})
}

// The key of an event's order stands in the database, but not so that anybody
// could guess it.
func TestOrderKeys(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	o.deploy(billing)
	key := func(source made, body string) string {
		var accepted struct{ Event string }
		p.must(http.StatusAccepted, p.call("POST", "/v1/hooks/"+source.ID, "", body, p.signed(source.Secret, schema.NewID(schema.PrefixEvent), body)...), &accepted)
		row, err := p.cells[o.org].Door().GetEvent(t.Context(), o.namespace, accepted.Event)
		require.NoError(t, err)
		return row.OrderKey
	}
	first := o.create(`{"name":"first","flow":"billing","order":{"pointer":"/customer/id"}}`)
	other := o.create(`{"name":"other","flow":"billing","order":{"pointer":"/customer/id"}}`)
	a := key(first, `{"customer":{"id":"a"}}`)
	assert.Equal(t, a, key(first, `{"n":2,"customer":{"id":"a"}}`))
	assert.NotEqual(t, a, key(first, `{"customer":{"id":"b"}}`))
	assert.NotEqual(t, a, key(other, `{"customer":{"id":"a"}}`), "another source's key is another key")
	assert.Empty(t, key(first, `{}`))
	r := p.call("POST", "/v1/sources", o.bound, `{"name":"bad","flow":"billing","order":{"pointer":"customer"}}`)
	assert.Equal(t, http.StatusUnprocessableEntity, r.status, "%s", r.body)
}
