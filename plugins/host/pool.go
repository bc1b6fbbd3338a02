package host

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tenonhq/tenon/plugins/internal/wire"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
)

const (
	// endPatience is how long a cancelled action has to end before its process
	// is killed.
	endPatience = 2 * time.Second
	// defaultIdle is how long an unused connector lives.
	defaultIdle = 5 * time.Minute
	// RunsAtATime bounds what one connector does at once; more wait their turn.
	RunsAtATime = 64
	// A connector that cannot be started, or whose process dies, is started
	// again only after a while: first this, doubled each time, up to the longest.
	firstBackoff   = 100 * time.Millisecond
	longestBackoff = 30 * time.Second
)

// PoolConfig is what a pool needs.
type PoolConfig struct {
	Catalog  *Catalog
	Launcher *Launcher
	// RunDir is a directory of the cell's own, for sockets.
	RunDir string
	// Logger gets, at debug level, what connectors write to standard error. Default:
	// nothing is logged.
	Logger *slog.Logger
	// IdleAfter stops a connector that was not used for so long. Default 5 min.
	IdleAfter time.Duration
	// Limits of each connector; zero fields are the launcher's defaults: 256 MiB,
	// 64 threads, 64 open files.
	Limits Limits
}

// Pool runs the actions of connectors, one process per connector, started on
// first use. A pool belongs to one cell (Invariant 2).
type Pool struct {
	cfg     PoolConfig
	starter *starter
	now     func() time.Time

	mu     sync.Mutex
	closed bool
	slots  map[string]*slot
}

// Invocation is one run of an action.
type Invocation struct {
	Connector, Action string
	Settings, Input   json.RawMessage
	// Egress is the way out; nil: none.
	Egress Egress
}

// NewPool makes a pool; nothing is started yet.
func NewPool(cfg PoolConfig) *Pool {
	cfg.IdleAfter = cmp.Or(cfg.IdleAfter, defaultIdle)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Pool{
		cfg: cfg, now: time.Now, slots: make(map[string]*slot),
		starter: &starter{
			launcher: cfg.Launcher, runDir: cfg.RunDir, logger: cfg.Logger, limits: cfg.Limits,
			programs: &verifier{known: make(map[identity][sha256.Size]byte), now: time.Now},
		},
	}
}

// Manifest gives what the catalog knows of a connector.
func (p *Pool) Manifest(name string) (sdk.Manifest, bool) {
	e, ok := p.cfg.Catalog.Get(name)
	return e.Manifest, ok
}

// Invoke runs an action and gives its output. A failure of the action is a
// [*sdk.Fault]; any other a [*schema.Error]: not_found (no such connector),
// unavailable (it cannot be started, or died; another try may help), refused
// (it is not the one that was pinned), timeout (ctx was done first). When Invoke
// returns, every call of Egress has.
func (p *Pool) Invoke(ctx context.Context, in Invocation) (json.RawMessage, error) {
	e, ok := p.cfg.Catalog.Get(in.Connector)
	if !ok {
		return nil, schema.Errorf(schema.CodeNotFound, "connector %s is not installed", clean(in.Connector, maxTitle))
	}
	if len(in.Settings)+len(in.Input) > wire.MaxMessage {
		return nil, schema.Errorf(schema.CodeTooLarge, "the action's input is larger than %d bytes", wire.MaxMessage)
	}
	s, err := p.slot(e)
	if err != nil {
		return nil, err
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	inst, err := s.instance(ctx)
	if err != nil {
		return nil, err
	}
	out, err := inst.run(ctx, in)
	if errors.Is(err, wire.ErrUnresponsive) || errors.Is(err, wire.ErrProtocol) {
		// It takes the connector's other runs along: they are tried again.
		s.drop(inst)
	}
	if err == nil {
		s.settle()
	}
	return out, err
}

// Close stops every connector and refuses what comes.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	slots := p.slots
	p.slots = nil
	p.mu.Unlock()
	for _, s := range slots {
		s.close()
	}
}

func (p *Pool) slot(e Entry) (*slot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, schema.Errorf(schema.CodeUnavailable, "the cell is being stopped")
	}
	s, ok := p.slots[e.Manifest.Name]
	if !ok {
		s = &slot{pool: p, entry: e, turn: make(chan struct{}, RunsAtATime)}
		p.slots[e.Manifest.Name] = s
	}
	return s, nil
}
