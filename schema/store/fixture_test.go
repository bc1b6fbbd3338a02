package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
)

func wantCode(t *testing.T, code schema.Code, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, schema.CodeOf(err), "%v: %v", err, unwrapped(err))
}

func unwrapped(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return nil
}

func draft(action, target string) store.AuditDraft {
	return store.AuditDraft{Actor: "key_test", Action: action, Target: target, Namespace: "ns_test", DetailSealed: []byte{1, 0, 2}}
}

var at = time.Date(2026, 3, 1, 12, 30, 15, 123456000, time.UTC)

func namespace(t *testing.T, d *store.Door) store.Namespace {
	t.Helper()
	n := store.Namespace{ID: schema.NewID(schema.PrefixNamespace), Name: schema.NewID("name"), CreatedAt: at}
	require.NoError(t, d.CreateNamespace(t.Context(), n, draft("namespace.create", n.ID)))
	return n
}

// event is one that comes with a key of its source's own.
func event(source, key string) store.Event {
	return store.Event{
		ID: schema.NewID(schema.PrefixEvent), Namespace: "ns_test", Source: source, Kind: "webhook", DedupeKey: digest(source + " " + key), Flow: "flow_1",
		FlowVersion: 3, Digest: "sha256", PayloadSealed: []byte{0, 1, '\\', '"', 255}, ReceivedAt: at,
	}
}

func accepted(t *testing.T, d *store.Door, key string) store.Event {
	t.Helper()
	e, duplicate, err := d.AcceptEvent(t.Context(), event("src_1", key), draft("event.accept", key))
	require.NoError(t, err)
	require.False(t, duplicate)
	return e
}

func pending(seq int64) store.Run {
	return store.Run{
		ID: schema.NewID(schema.PrefixRun), Namespace: "ns_test", Event: fmt.Sprint("evt_", seq), EventSeq: seq, Flow: "flow_1",
		FlowVersion: 3, Digest: "sha256", Straight: true, Carrier: "car_1", Epoch: 1, State: store.RunPending, CreatedAt: at,
	}
}

func started(t *testing.T, w *store.Work, seq int64) store.Run {
	t.Helper()
	r := pending(seq)
	require.NoError(t, w.StartRuns(t.Context(), []store.Run{r}, seq, []store.AuditDraft{draft("run.start", r.ID)}))
	return r
}

func step(run, key string) store.Step {
	return store.Step{
		Run: run, Key: key, Pointer: "/do/0/" + key, Kind: "call", Phase: "whole", State: store.StepDone,
		StartedAt: at, EndedAt: at.Add(time.Second), RecordSealed: []byte("sealed " + key),
	}
}

func effect(run, key string) store.Effect {
	return store.Effect{
		ID: schema.NewID(schema.PrefixEffect), Run: run, Key: key, Connection: "con_1", Action: "http.request", Digest: []byte{1, 2},
		IdempotencyKey: "idem-" + key, Epoch: 1, Owner: "host_1", State: store.EffectIntent, Attempts: 1, CreatedAt: at, UpdatedAt: at,
	}
}

func actions(entries []audit.Entry) []string {
	out := make([]string, len(entries))
	for i := range entries {
		out[i] = entries[i].Action
	}
	return out
}
