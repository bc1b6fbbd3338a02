package worker

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/tenonhq/tenon/activities"
	"github.com/tenonhq/tenon/activities/evaluate"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/pack"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

const document = `
document: {dsl: '1.0.3', namespace: test, name: one, version: '1.0.0'}
do: [{a: {set: {x: 1}}}]
`

// bench is a relay over real databases, whose engine is away.
type bench struct {
	*relay
	api       *store.Cell
	made      store.Provisioned
	log       *strings.Builder
	namespace string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db := storetest.SQLite(t)
	org, made := db.Provision(t)
	api, cell := storetest.Open(t, made.API, store.SideAPI), storetest.Open(t, made.Cell, store.SideCell)
	key, err := seal.NewDataKey()
	require.NoError(t, err)
	data := seal.NewDataKeys(key)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	engine, err := client.NewLazyClient(client.Options{HostPort: l.Addr().String(), Namespace: org, Logger: EngineLog(slog.New(slog.DiscardHandler))})
	require.NoError(t, err)
	t.Cleanup(engine.Close)
	ns := store.Namespace{ID: schema.NewID(schema.PrefixNamespace), Name: "prod", CreatedAt: time.Now()}
	require.NoError(t, api.Door().CreateNamespace(t.Context(), ns, store.AuditDraft{Actor: "test", Action: "test", Target: ns.ID}))
	log := &strings.Builder{}
	r := newRelay(org, cell, data, engine, 8, slog.New(slog.NewTextHandler(log, nil)))
	b := &bench{relay: r, api: api, made: made, log: log, namespace: ns.ID}
	r.executor = activities.New(b.executorConfig())
	return b
}

func (b *bench) executorConfig() activities.Config {
	return activities.Config{
		Organization: b.organization, Owner: "test", Cell: b.cell, Data: b.data, Logger: b.logger,
		Raised:  func(map[string]config.Floor) {},
		Requeue: func(run string) { b.again(run) }, Ended: b.ended, Alerted: b.alerted, Evaluator: busyEvaluator{},
	}
}

// busyEvaluator answers nobody, and has nobody wait once on is closed.
type busyEvaluator struct{ on chan struct{} }

func (e busyEvaluator) Eval(ctx context.Context, _ evaluate.Batch) (evaluate.Result, error) {
	select {
	case <-e.on:
	case <-ctx.Done():
	}
	return evaluate.Result{}, schema.Errorf(schema.CodeUnavailable, "no evaluator is free")
}

// untold are the carriers that the engine was not told of, that which more runs may join included.
func (b *bench) untold() []carrier {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Values(b.unstarted))
}

// event puts an event into the inbox, for a flow version with this text sealed.
func (b *bench) event(t *testing.T, text string, payload []byte) {
	t.Helper()
	b.put(t, text, payload, "")
}

// inOrder puts an event with an order key into the inbox.
func (b *bench) inOrder(t *testing.T, key string) {
	t.Helper()
	b.put(t, document, nil, key)
}

func (b *bench) put(t *testing.T, text string, payload []byte, key string) {
	t.Helper()
	doc, err := flow.Parse([]byte(document))
	require.NoError(t, err)
	f := store.Flow{ID: schema.NewID(schema.PrefixFlow), Namespace: b.namespace, Name: "one", State: "active", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	version := store.FlowVersion{Flow: f.ID, Version: 1, Namespace: b.namespace, Digest: doc.Digest, CreatedAt: time.Now()}
	version.DocumentSealed = b.data.Seal(place.Flow(b.organization, f.ID, 1), []byte(text))
	draft := store.AuditDraft{Actor: "test", Action: "test", Target: "test"}
	f, version, _, err = b.api.Door().DeployFlow(t.Context(), f, version, draft)
	require.NoError(t, err)
	ev := store.Event{
		ID: schema.NewID(schema.PrefixEvent), Namespace: b.namespace, Source: "src", Kind: config.KindWebhook,
		Flow: f.ID, FlowVersion: version.Version, Digest: doc.Digest, ReceivedAt: time.Now(), OrderKey: key,
	}
	ev.DedupeKey = ev.ID
	if payload == nil {
		plain, err := json.Marshal(config.Event{Body: json.RawMessage(`{}`)})
		require.NoError(t, err)
		payload = b.data.Seal(place.Event(b.organization, ev.ID), plain)
	}
	ev.PayloadSealed = payload
	_, _, err = b.api.Door().AcceptEvent(t.Context(), ev, draft)
	require.NoError(t, err)
}

func (b *bench) onlyRun(t *testing.T) store.Run {
	t.Helper()
	runs, err := b.cell.Work().ListRuns(t.Context(), store.RunFilter{Page: store.Page{Limit: 10}})
	require.NoError(t, err)
	require.Len(t, runs, 1)
	return runs[0]
}

// TestWhatCannotBeReadFails gives the relay a flow version, and an event, that
// nobody can read: the run fails, says why, and holds nothing up. No carrier is
// started for it, since workflow code could only wait for ever.
func TestWhatCannotBeReadFails(t *testing.T) {
	for name, put := range map[string]func(*testing.T, *bench){
		"document": func(t *testing.T, b *bench) { t.Helper(); b.event(t, "do: [", nil) },
		"event":    func(t *testing.T, b *bench) { t.Helper(); b.event(t, document, []byte("noise")) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			put(t, b)
			_, err := b.takeEvents(t.Context())
			require.NoError(t, err)
			run := b.onlyRun(t)
			require.Equal(t, store.RunFailed, run.State)
			plain, err := b.data.Open(place.Run(b.organization, run.ID), run.ResultSealed)
			require.NoError(t, err)
			plain, err = pack.Unpack(plain)
			require.NoError(t, err)
			require.Contains(t, string(plain), "The run could not be started")
			require.Zero(t, b.openCount())
			require.Empty(t, b.untold())
			audit, err := b.cell.Work().ListAudit(t.Context(), store.AuditFilter{Limit: 10})
			require.NoError(t, err)
			require.Len(t, audit, 2, "started and failed")
		})
	}
}

// TestAnEngineThatIsAway keeps what is committed for later, once, and leaves
// the rest in the inbox.
func TestAnEngineThatIsAway(t *testing.T) {
	b := newBench(t)
	b.event(t, document, nil)
	more, err := b.takeEvents(t.Context())
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, b.untold(), 1)
	require.Empty(t, b.waitingForStart(), "more may join")
	b.close(t.Context())
	b.startHeaded(t.Context(), <-b.headed)
	require.Equal(t, store.RunPending, b.onlyRun(t).State)
	kept := b.waitingForStart()
	require.Len(t, kept, 1)
	require.Equal(t, b.onlyRun(t).Carrier, kept[0].id)
	require.Equal(t, 1, b.openCount())

	b.event(t, document, nil)
	_, err = b.takeEvents(t.Context())
	require.NoError(t, err)
	b.onlyRun(t) // The second stays in the inbox.
	b.startAll(t.Context(), b.waitingForStart())
	require.Len(t, b.waitingForStart(), 1)
	require.Equal(t, 1, strings.Count(b.log.String(), "cannot start carriers"), "said once: %s", b.log)
}

// TestCapacity counts what is being worked on: not what waits, and not what has
// ended behind the relay's back.
func TestCapacity(t *testing.T) {
	b := newBench(t)
	b.follow([]store.Run{{ID: "a"}, {ID: "b", State: store.RunWaiting}, {ID: "c"}, {ID: "d"}})
	require.Equal(t, 3, b.openCount())
	b.ended("never followed")
	b.recount([]store.Run{{ID: "a", State: store.RunRunning}, {ID: "c", State: store.RunWaiting}})
	require.Equal(t, 1, b.openCount())
	b.ended("a")
	require.Zero(t, b.openCount())
	select {
	case <-b.bell:
		t.Fatal("nothing waits")
	default:
	}
	b.look("flow")
	b.ended("never followed")
	<-b.bell
}

func TestGroups(t *testing.T) {
	var runs []store.Run
	for i := range 600 {
		runs = append(runs, store.Run{ID: string(rune(i)), Straight: i%3 != 0})
	}
	new(relay).assign(runs)
	total := 0
	for _, c := range carriersOf(runs, true) {
		total += len(c.members)
		require.LessOrEqual(t, len(c.members), carrierSize)
		require.True(t, c.recall)
		for _, m := range c.members {
			require.Equal(t, c.id, m.Carrier)
			require.True(t, m.Straight || len(c.members) == 1, "a run that may park is carried alone")
		}
	}
	require.Equal(t, len(runs), total)
}

func TestTroublesAreToldOnce(t *testing.T) {
	var log strings.Builder
	tr := troubles{logger: slog.New(slog.NewTextHandler(&log, nil))}
	for range 100 {
		require.False(t, tr.about(t.Context(), "do it", errors.New("broken")))
	}
	require.True(t, tr.about(t.Context(), "do it", nil))
	require.True(t, tr.about(t.Context(), "do it", nil))
	require.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
}

// TestACellWithAnAlertToSend: one that is due keeps it awake, and one that is to be
// tried again later says when it must wake.
func TestACellWithAnAlertToSend(t *testing.T) {
	b := newBench(t)
	work := b.cell.Work()
	require.NoError(t, work.PutCustody(t.Context(), store.Custody{Connection: "con_1", Namespace: b.namespace, Alerts: []store.Alert{
		{ID: "alert_1", Namespace: b.namespace, Kind: store.AlertSuspended, Subject: "con_1"},
	}}))
	idle, _, err := b.nothing(t.Context())
	require.NoError(t, err)
	require.False(t, idle)
	sent := store.Alert{ID: "alert_1", Namespace: b.namespace}
	require.NoError(t, work.PostponeAlerts(t.Context(), sent, time.Now(), time.Now().Add(time.Hour)))
	idle, wakeAt, err := b.nothing(t.Context())
	require.NoError(t, err)
	require.True(t, idle)
	require.WithinDuration(t, time.Now().Add(time.Hour), *wakeAt, time.Minute)
	// Nobody is to be told: it is over.
	require.NoError(t, work.PostponeAlerts(t.Context(), sent, time.Now().Add(2*time.Hour), time.Now()))
	next, err := b.tellDue(t.Context())
	require.NoError(t, err)
	require.Nil(t, next)
	_, wakeAt, err = b.nothing(t.Context())
	require.NoError(t, err)
	require.Nil(t, wakeAt)
	listed, err := b.api.Work().ListAlerts(t.Context(), b.namespace, store.Page{})
	require.NoError(t, err)
	require.Equal(t, store.AlertUnheard, listed[0].State)
	require.False(t, b.busy())
	b.alerted()
	require.True(t, b.busy())
}
