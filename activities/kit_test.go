package activities

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/tenonhq/tenon/activities/evaluate"
	"github.com/tenonhq/tenon/activities/evaluate/jq"
	connectorhttp "github.com/tenonhq/tenon/connectors/http"
	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/plugins/broker"
	"github.com/tenonhq/tenon/plugins/host"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/pack"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/schema/task"
)

// patience bounds every wait of these tests.
const patience = 30 * time.Second

// rig is one organization's cell on a real database, with a real bookkeeper as
// the other system, and as many executors on it as a test wants.
type rig struct {
	*testing.T
	org       string
	backend   storetest.Backend
	made      store.Provisioned
	api, cell *store.Cell
	dataKey   seal.DataKey
	data      seal.DataKeys
	private   seal.PrivateKey
	book      *ledger.Server
	namespace string
	conn      store.Connection
	setup     config.Connection
	eval      *evaluate.Pool

	mu  sync.Mutex
	log bytes.Buffer
	// floors are what the host keeps apart from the databases.
	floors map[string]config.Floor
}

// each runs a test on both databases with a bookkeeper of the mode.
func each(t *testing.T, mode ledger.Mode, test func(r *rig)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) { test(newRig(t, b, mode)) })
}

func newRig(t *testing.T, b storetest.Backend, mode ledger.Mode) *rig {
	t.Helper()
	org, made := b.Provision(t)
	r := &rig{
		T: t, org: org, backend: b, made: made,
		api: storetest.Open(t, made.API, store.SideAPI), cell: storetest.Open(t, made.Cell, store.SideCell),
		namespace: schema.NewID(schema.PrefixNamespace), floors: map[string]config.Floor{},
	}
	key, err := seal.NewDataKey()
	require.NoError(t, err)
	r.dataKey, r.data = key, seal.NewDataKeys(key)
	r.private, err = seal.NewPrivateKey()
	require.NoError(t, err)
	r.book, err = ledger.Start(ledger.Config{Directory: t.TempDir(), Idempotency: mode})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.book.Close()) })
	require.NoError(t, r.api.Door().CreateNamespace(t.Context(), store.Namespace{ID: r.namespace, Name: "prod"}, draft()))
	r.eval = evaluate.NewPool(evaluate.Config{Size: 2, Start: func(context.Context) (io.ReadWriteCloser, func(), error) {
		ours, theirs := net.Pipe()
		go func() { _ = jq.Serve(theirs, theirs, func() { _ = theirs.Close() }) }()
		return ours, func() { _ = ours.Close() }, nil
	}})
	t.Cleanup(r.eval.Close)
	r.setup = config.Connection{
		Settings: json.RawMessage(`{"base_url":"` + r.book.URL() + `"}`),
		Use:      seal.Use{Hosts: []string{r.book.Address()}, Inject: seal.Injection{Scheme: seal.SchemeBearer}, CA: r.book.CA()},
	}
	switch mode {
	case ledger.Keys:
		r.setup.IdempotencyHeader = "Idempotency-Key"
	case ledger.Lookup:
		r.setup.Lookup = &config.Lookup{
			Action: "request",
			With:   json.RawMessage(`{"method":"get","endpoint":"/bills","query":{"order":"${ $input.body.order }"}}`),
			Found:  "${ .bills[0] }",
		}
	case ledger.None:
	}
	r.conn = r.connect("books", r.setup)
	r.credential(r.conn.ID, r.conn.ID, 1, r.setup.Use, r.book.Token())
	r.conn.CredentialVersion = 1
	return r
}

func draft() store.AuditDraft { return store.AuditDraft{Actor: "test", Action: "test"} }

func (r *rig) connect(name string, setup config.Connection) store.Connection {
	r.Helper()
	row := store.Connection{ID: schema.NewID(schema.PrefixConnection), Namespace: r.namespace, Name: name, Connector: "http"}
	row.SettingsSealed = r.data.Seal(place.Connection(r.org, row.ID), mustJSONOf(r.T, setup))
	require.NoError(r, r.api.Door().CreateConnection(r.Context(), row, draft()))
	return row
}

// credential puts a credential that was sealed for one connection under another.
func (r *rig) credential(at, sealedFor string, version int, use seal.Use, token string) {
	r.Helper()
	inner, err := seal.SealCredential(r.private.Public(), seal.Credential{
		Organization: r.org, Connection: sealedFor, Version: version, Use: use, Values: map[string]string{"token": token},
	})
	require.NoError(r, err)
	r.put(at, version, r.data.Seal(place.Credential(r.org, at, version), inner))
}

func (r *rig) put(at string, version int, sealed []byte) {
	r.Helper()
	r.entered(at, version, version-1, sealed)
}

// entered puts a version beside the one that is kept, as the API does, and tells
// nobody.
func (r *rig) entered(at string, version, keep int, sealed []byte) store.Command {
	r.Helper()
	told := r.told(config.CredentialCommand{Connection: at, Act: config.CredentialEntered, Version: version, Lowest: max(keep, 1)})
	require.NoError(r, r.api.Door().PutCredential(r.Context(), store.Credential{
		ID: schema.NewID(schema.PrefixCredential), Connection: at, Version: version, Sealed: sealed,
	}, keep, told, draft()))
	return told
}

// told is a command about a credential.
func (r *rig) told(args config.CredentialCommand) store.Command {
	r.Helper()
	c := store.Command{ID: schema.NewID(schema.PrefixCommand), Namespace: r.namespace, Kind: config.CommandCredential, By: "test"}
	c.ArgsSealed = r.data.Seal(place.Command(r.org, c.ID), mustJSONOf(r.T, args))
	return c
}

func mustJSONOf(t *testing.T, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}

// Write collects what is logged.
func (r *rig) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func (r *rig) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// process is one cell process: an executor and what it reported.
type process struct {
	*Executor
	rig      *rig
	plug     *plug
	mu       sync.Mutex
	requeued []string
	// forgets: the carrier that asks is that of a process before this one.
	forgets bool
	ended   int
}

func (r *rig) process() *process {
	r.Helper()
	p := &process{rig: r, plug: &plug{}}
	b := broker.New(broker.Config{Timeout: 20 * time.Second})
	r.Cleanup(b.Close)
	p.Executor = New(Config{
		Organization: r.org, Owner: schema.NewID(schema.PrefixHost), Cell: r.cell, Data: r.data,
		Private: []seal.PrivateKey{r.private}, Evaluator: r.eval, Connectors: p.plug, Broker: b,
		Logger: slog.New(slog.NewJSONHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Floors: maps.Clone(r.floors), Raised: func(known map[string]config.Floor) {
			r.mu.Lock()
			defer r.mu.Unlock()
			maps.Copy(r.floors, known)
		},
		Requeue: func(run string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.requeued = append(p.requeued, run)
		},
		Alerted: func() {},
		Ended: func(string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.ended++
		},
	})
	return p
}

// plug runs the real http connector in this process, with hooks around it.
type plug struct {
	mu sync.Mutex
	// before is called before the action, around instead of it.
	before func()
	// after may change how the action ended.
	after func(json.RawMessage, error) (json.RawMessage, error)
	// action stands in for the connector's own.
	action sdk.Action
	info   *sdk.ActionInfo
	calls  int
}

func (p *plug) Manifest(name string) (sdk.Manifest, bool) {
	m := connectorhttp.Connector().Manifest
	if p.info != nil {
		m.Name, m.Actions = "custom", []sdk.ActionInfo{*p.info}
	}
	return m, name == m.Name
}

func (p *plug) Invoke(ctx context.Context, in host.Invocation) (json.RawMessage, error) {
	p.mu.Lock()
	before, after, action := p.before, p.after, p.action
	p.calls++
	p.mu.Unlock()
	if before != nil {
		before()
	}
	if action == nil {
		action = connectorhttp.Connector().Actions[in.Action]
	}
	out, err := action(ctx, sdk.NewCall(in.Settings, in.Input, func(ctx context.Context, req *sdk.Request) (*sdk.Response, error) {
		resp, err := in.Egress(ctx, req)
		var known *schema.Error
		if errors.As(err, &known) { // A connector sees faults, as with the real host.
			kind := sdk.FaultCommunication
			if known.Code == schema.CodeRefused {
				kind = sdk.FaultAuthorization
			}
			return nil, &sdk.Fault{Type: kind, Title: "The request failed", Detail: known.Message}
		}
		return resp, err
	}))
	var raw json.RawMessage
	if err == nil {
		raw, err = json.Marshal(out)
	}
	if after != nil {
		return after(raw, err)
	}
	return raw, err
}

const flowHead = "document: { dsl: '1.0.3', namespace: test, name: %s, version: '1.0.0' }\n"

// deploy deploys a document, given its text after the head.
func (r *rig) deploy(body string) *flow.Document {
	r.Helper()
	var suffix [4]byte
	_, _ = rand.Read(suffix[:])
	doc, err := flow.Parse([]byte(fmt.Sprintf(flowHead, fmt.Sprintf("f%x", suffix)) + body))
	require.NoError(r, err)
	row := store.Flow{ID: schema.NewID(schema.PrefixFlow), Namespace: r.namespace, Name: doc.Name}
	_, _, _, err = r.api.Door().DeployFlow(r.Context(), row, store.FlowVersion{
		Flow: row.ID, Version: 1, Namespace: r.namespace, Digest: doc.Digest, Straight: doc.Straight,
		DocumentSealed: r.data.Seal(place.Flow(r.org, row.ID, 1), doc.Canonical),
	}, draft())
	require.NoError(r, err)
	return doc
}

// run is one run of a document, as its carrier knows it.
type run struct {
	store.Run
	rig   *rig
	event store.Event
	doc   *flow.Document
}

func (r *rig) start(doc *flow.Document, input string) *run {
	r.Helper()
	id := schema.NewID(schema.PrefixEvent)
	version, err := r.api.Door().GetFlowVersionByDigest(r.Context(), doc.Digest)
	require.NoError(r, err)
	ev, _, err := r.api.Door().AcceptEvent(r.Context(), store.Event{
		ID: id, Namespace: r.namespace, Source: schema.NewID(schema.PrefixSource), Kind: config.KindCall, DedupeKey: id,
		Flow: version.Flow, FlowVersion: 1, Digest: doc.Digest,
		PayloadSealed: r.data.Seal(place.Event(r.org, id), mustJSONOf(r.T, config.Event{Body: json.RawMessage(input)})),
	}, draft())
	require.NoError(r, err)
	row := store.Run{
		ID: schema.NewID(schema.PrefixRun), Namespace: r.namespace, Event: ev.ID, EventSeq: ev.Seq, Flow: ev.Flow, FlowVersion: 1,
		Digest: doc.Digest, Straight: doc.Straight, Carrier: schema.NewID(schema.PrefixCarrier), Epoch: 1, State: store.RunPending, CreatedAt: time.Now().UTC(),
	}
	require.NoError(r, r.cell.Work().StartRuns(r.Context(), []store.Run{row}, ev.Seq, nil))
	return &run{Run: row, rig: r, event: ev, doc: doc}
}

// taken gives the run a new carrier, as the relay does after a process's death.
func (n *run) taken() *run {
	n.rig.Helper()
	runs, err := n.rig.cell.Work().TakeRuns(n.rig.Context(), schema.NewID(schema.PrefixCarrier), []string{n.ID},
		[]string{store.RunPending, store.RunRunning, store.RunWaiting})
	require.NoError(n.rig, err)
	require.Len(n.rig, runs, 1)
	return &run{Run: runs[0], rig: n.rig, event: n.event, doc: n.doc}
}

func (n *run) owner() task.Owner {
	return task.Owner{Carrier: n.Carrier, Run: n.ID, Epoch: n.Epoch, Digest: n.Digest}
}

// call asks for the whole of the task with the pointer.
func (n *run) whole(pointer string) task.StepRequest {
	return task.StepRequest{Owner: n.owner(), Key: pointer, Effect: pointer, Pointer: pointer, Phase: task.PhaseWhole}
}

func (n *run) row() store.Run {
	n.rig.Helper()
	row, err := n.rig.cell.Work().GetRun(n.rig.Context(), n.Namespace, n.ID)
	require.NoError(n.rig, err)
	return row
}

func (n *run) effects() []store.Effect {
	n.rig.Helper()
	effects, err := n.rig.cell.Work().ListEffects(n.rig.Context(), n.ID)
	require.NoError(n.rig, err)
	return effects
}

// result is how the run ended, with what it names of the journal and that of the ledger.
func (n *run) result() config.Result {
	n.rig.Helper()
	var out config.Result
	n.open(place.Run(n.rig.org, n.ID), n.row().ResultSealed, &out)
	if out.From == "" {
		return out
	}
	require.Empty(n.rig, out.Output)
	for _, rec := range n.records() {
		if v, ok := rec.Values[task.Ref(out.From)]; ok {
			out.Output = v
		}
	}
	require.NotEmpty(n.rig, out.Output, "the journal has %s", out.From)
	return out
}

// records are the journal's, by their steps, whole.
func (n *run) records() map[string]task.Record {
	n.rig.Helper()
	steps, err := n.rig.cell.Work().ListSteps(n.rig.Context(), n.ID)
	require.NoError(n.rig, err)
	effects, out := n.effects(), map[string]task.Record{}
	for _, s := range steps {
		var rec task.Record
		n.open(place.Step(n.rig.org, n.ID, s.Key), s.RecordSealed, &rec)
		for ref := range rec.From {
			require.NotContains(n.rig, rec.Values, ref)
		}
		require.NoError(n.rig, rec.Fill(func(key string) (json.RawMessage, error) {
			i := slices.IndexFunc(effects, func(ef store.Effect) bool { return ef.Key == key })
			require.GreaterOrEqual(n.rig, i, 0, "the ledger has %s", key)
			var o struct{ Output json.RawMessage }
			n.open(place.Effect(n.rig.org, effects[i].ID), effects[i].OutcomeSealed, &o)
			return o.Output, nil
		}))
		out[s.Key] = rec
	}
	return out
}

func (n *run) open(at seal.Place, sealed []byte, into any) {
	n.rig.Helper()
	plain, err := n.rig.data.Open(at, sealed)
	require.NoError(n.rig, err)
	plain, err = pack.Unpack(plain)
	require.NoError(n.rig, err)
	require.NoError(n.rig, json.Unmarshal(plain, into))
}

// step asks as a regular activity, local as a local one.
func (p *process) step(req task.StepRequest) (task.StepResult, error) { return p.ask(req, false) }

func (p *process) local(req task.StepRequest) (task.StepResult, error) { return p.ask(req, true) }

func (p *process) ask(req task.StepRequest, local bool) (out task.StepResult, err error) {
	if !p.forgets {
		// As every carrier does that is started for a run not primed here.
		if _, err := p.Recall(p.rig.Context(), task.RecallRequest{Owner: req.Owner}); err != nil {
			return out, err
		}
	}
	return p.unrecalled(req, local)
}

// unrecalled asks for a carrier of a process before this one.
func (p *process) unrecalled(req task.StepRequest, local bool) (out task.StepResult, err error) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quietLogger{})
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(patience)
	env.RegisterActivity(p.Step)
	execute := env.ExecuteActivity
	if local {
		execute = env.ExecuteLocalActivity
	}
	v, err := execute(p.Step, req)
	if err != nil {
		return out, err
	}
	return out, v.Get(&out)
}

func (p *process) done(req task.StepRequest) task.StepResult {
	p.rig.Helper()
	out, err := p.step(req)
	require.NoError(p.rig, err)
	return out
}

// value is a journalled value as the next step sees it.
func (p *process) value(n *run, ref task.Ref) string {
	p.rig.Helper()
	st, err := p.state(p.rig.Context(), n.owner(), true)
	require.NoError(p.rig, err)
	v, err := st.value(ref)
	require.NoError(p.rig, err)
	return string(v)
}

// clock sets the executor's clock that much ahead.
func (p *process) ahead(d time.Duration) { p.now = func() time.Time { return time.Now().UTC().Add(d) } }

// eventually waits for a condition that another goroutine brings about.
func (r *rig) eventually(what string, ok func() bool) {
	r.Helper()
	require.Eventually(r, ok, patience, 2*time.Millisecond, what)
}

type quietLogger struct{}

func (quietLogger) Debug(string, ...any) {}
func (quietLogger) Info(string, ...any)  {}
func (quietLogger) Warn(string, ...any)  {}
func (quietLogger) Error(string, ...any) {}

// billFlow makes one bill.
const billFlow = `
do:
  - bill:
      call: http
      with:
        method: post
        endpoint: { uri: /bills, authentication: { use: books } }
        body:
          order: ${ .order }
          supplier: sup-100
          currency: EUR
          lines: [{ sku: A1, description: Oak, quantity: 2, unit_price_cents: 1050 }]
      output: { as: '${ {number: .number} }' }
`

const billTask = "/do/0/bill"
