package activities

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/tenonhq/tenon/activities/evaluate"
	"github.com/tenonhq/tenon/activities/internal/keyring"
	"github.com/tenonhq/tenon/activities/internal/tokens"
	"github.com/tenonhq/tenon/plugins/broker"
	"github.com/tenonhq/tenon/plugins/host"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// Evaluator evaluates expressions outside this process.
type Evaluator interface {
	// Eval returns a fault in the result for what the expressions did wrong,
	// and an error only when no evaluator could be had.
	Eval(ctx context.Context, b evaluate.Batch) (evaluate.Result, error)
}

// Connectors runs connector actions in their sandboxed processes.
type Connectors interface {
	// Manifest returns what the named connector declares of itself.
	Manifest(name string) (sdk.Manifest, bool)
	// Invoke runs an action. The error is a *sdk.Fault when the connector
	// reports one, else a *schema.Error.
	Invoke(ctx context.Context, in host.Invocation) (json.RawMessage, error)
}

// Config is what an executor works with. All fields are required.
type Config struct {
	// Organization is the public id of the cell's organization.
	Organization string
	// Owner names this executor's process in the effect ledger.
	Owner string
	Cell  *store.Cell
	// Data are the cell's data keys, Private its credential keys, current first.
	Data    seal.DataKeys
	Private []seal.PrivateKey
	// Floors are how old the credentials of connections may be, as that is known
	// apart from the databases; Raised tells what is known now.
	Floors     map[string]config.Floor
	Raised     func(known map[string]config.Floor)
	Evaluator  Evaluator
	Connectors Connectors
	Broker     *broker.Broker
	Logger     *slog.Logger
	// Requeue hands a run back to the relay, which gives it a new carrier that
	// walks it again from the journal.
	Requeue func(run string)
	// Alerted tells that there is an alert to send.
	Alerted func()
	// Ended tells that this process works on a run no more.
	Ended func(run string)
}

// Executor performs the steps of one cell's runs.
type Executor struct {
	cfg     Config
	keys    *keyring.Keyring
	custody *custodian
	tokens  *tokens.Source
	plans   sync.Map // digest → *plan
	setups  sync.Map // connection → setup

	mu   sync.Mutex
	runs map[string]*runState
	// asks counts what carriers have asked for.
	asks uint64
	// puts are, by run and step, when a call was put off first: a new carrier of the
	// run does not begin the patience of its steps anew.
	puts map[string]map[string]time.Time
	// waited are runs whose wait is over though their time has not come: the time that
	// each waits for.
	waited map[string]time.Time
	// over are runs that were over for their carriers before those asked.
	over map[task.Owner]struct{}
	// sights are of effects that this process has read as begun.
	sights map[string]sight

	flights flights
	pauses  pauses
	turns   *turns
	lanes   lanes
	now     func() time.Time
}

// New returns an executor for a cell.
func New(cfg Config) *Executor {
	e := &Executor{
		cfg:    cfg,
		keys:   keyring.New(cfg.Organization, cfg.Private, cfg.Data),
		runs:   make(map[string]*runState),
		puts:   make(map[string]map[string]time.Time),
		over:   make(map[task.Owner]struct{}),
		sights: make(map[string]sight),
		pauses: pauses{seen: make(map[string]time.Time)},
		now:    func() time.Time { return time.Now().UTC() },
	}
	e.turns = newTurns(func() time.Time { return e.now() })
	e.custody = newCustodian(e)
	e.tokens = tokens.New(tokens.Config{
		Owner: cfg.Owner, Rows: cfg.Cell.Work(), Keys: e.keys, Broker: cfg.Broker, Now: func() time.Time { return e.now() },
	})
	return e
}

// Document returns the flow document with the digest. Documents are content
// addressed and immutable, so that reading one through from the database inside
// workflow code is as deterministic as holding it. It is the workflows' library.
func (e *Executor) Document(digest string) (*flow.Document, error) {
	p, err := e.plan(digest)
	if err != nil {
		return nil, err
	}
	return p.doc, nil
}
