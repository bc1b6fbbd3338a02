package supervisor

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/token"
	"github.com/tenonhq/tenon/worker"
	"github.com/tenonhq/tenon/worker/process"
)

const (
	// cellTokenLife is how long an engine token of a cell is good for; it is
	// replaced at half of that.
	cellTokenLife = 10 * time.Minute
	// cellStartPatience is how long a cell may take to be awake.
	cellStartPatience = 30 * time.Second
	// cellDrainPatience is how long a cell gets to drain.
	cellDrainPatience = 7 * time.Second
)

// cell is one organization's worker process as its host sees it.
type cell struct {
	host         *Host
	organization string
	// epoch is that of the host's claim.
	epoch int64
	// state is the cell's, when it was claimed or made. It is guarded by the host's lock.
	state  string
	cancel context.CancelFunc

	mu   sync.Mutex
	line *worker.Line
	// unkept are floors that the key store does not have yet.
	unkept map[string]config.Floor
	// mark is the state of the key store's entry that the process has.
	mark string
	// minted is when the process's engine token was made, by the wall clock.
	minted time.Time
	// heard is closed when the process has said its last.
	heard chan struct{}
	// touches is the count of marks that the host knows of, seen since when.
	touches int64
	seen    time.Time
	// asleep is the last report of a process that ended to sleep; rung says that
	// a bell was heard since.
	asleep *worker.Report
	rung   bool
}

// run keeps the cell's process alive until the context ends or the cell sleeps;
// it tells which.
func (c *cell) run(ctx context.Context) (asleep bool) {
	logger := c.host.cfg.Logger.With("organization", c.organization)
	refresh, stop := context.WithCancel(ctx)
	defer stop()
	go c.refreshTokens(refresh)
	process.KeepUntil(ctx, "cell", logger, c.try, func(p *process.Process) {
		c.tell(worker.Notice{Drain: true})
		t := time.NewTimer(cellDrainPatience)
		defer t.Stop()
		select {
		case <-p.Done():
		case <-t.C:
			p.Stop(time.Second)
		}
	}, func() bool {
		asleep = c.slept(ctx)
		return asleep
	})
	return asleep
}

// try starts the process. When it cannot, its databases may be other ones than those
// that were brought up to date: a backup of before an upgrade, restored meanwhile.
func (c *cell) try(ctx context.Context) (*process.Process, error) {
	p, err := c.start(ctx)
	if err != nil {
		c.host.migrated.Delete(c.organization)
	}
	return p, err
}

// start starts the process, when it is its turn, and hands it its boot; it
// returns once the cell is awake.
func (c *cell) start(ctx context.Context) (*process.Process, error) {
	select {
	case c.host.starting <- struct{}{}:
		defer func() { <-c.host.starting }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := c.host.bringUp(ctx, c.organization); err != nil {
		return nil, err
	}
	// What the process before has written is signed; what it wrote must be there.
	attested := make(chan error, 1)
	go func() { attested <- c.host.cfg.Attest(ctx, c.organization) }()
	// The engine may have lost its store since the cell was made; what was in
	// it is made again from the cell's own database.
	within, cancel := context.WithTimeout(ctx, cellStartPatience)
	defer cancel()
	if err := c.host.cfg.Namespace(within, c.organization); err != nil {
		return nil, err
	}
	boot, err := c.boot(ctx)
	if err != nil {
		return nil, err
	}
	ours, theirs, err := worker.SocketPair()
	if err != nil {
		return nil, err
	}
	limits := c.host.cfg.Limits
	limits.Name = c.organization
	p, err := c.host.cfg.Starter.Start(process.Spec{
		Limits: limits,
		Name:   "cell", Path: filepath.Join(c.host.cfg.Binaries, "tenon-cell"), Args: []string{c.organization, boot.RunDir}, Env: c.host.cfg.Env, Files: []*os.File{theirs},
	})
	// While it is open here, nothing tells that the cell died before it was awake.
	_ = theirs.Close()
	if err != nil {
		_ = ours.Close()
		return nil, err
	}
	conn, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		p.Stop(0)
		return nil, schema.Errorf(schema.CodeUnavailable, "the handover could not be opened: %w", err)
	}
	line := worker.NewLine(conn)
	// Invariant 1: no key leaves for a cell whose databases were put back.
	if err = <-attested; err == nil {
		err = c.handOver(conn, line, boot)
	}
	if err != nil {
		boot.Clear()
		p.Stop(0)
		_ = conn.Close()
		if schema.CodeOf(err) == schema.CodePutBack {
			c.cancel() // Nobody starts it again until that is accepted.
		}
		return nil, err
	}
	heard := make(chan struct{})
	c.mu.Lock()
	c.line, c.heard, c.asleep = line, heard, nil
	c.mu.Unlock()
	go func() {
		defer close(heard)
		c.listen(line)
		_ = conn.Close()
	}()
	return p, nil
}

// handOver sends the boot and waits for the cell to be awake.
func (c *cell) handOver(conn net.Conn, line *worker.Line, boot worker.Boot) error {
	if err := conn.SetDeadline(time.Now().Add(cellStartPatience)); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the handover could not be bounded: %w", err)
	}
	err := line.Send(worker.Notice{Boot: &boot})
	boot.Clear()
	if err != nil {
		return err
	}
	var r worker.Report
	for !r.Ready {
		r = worker.Report{}
		if err := line.Receive(&r); err != nil {
			return schema.Errorf(schema.CodeUnavailable, "the cell did not wake: %w", err)
		}
		c.keep(r.Floors)
	}
	if len(r.Missing) > 0 {
		c.host.cfg.Logger.Warn("this machine does not allow the whole sandbox", "organization", c.organization, "missing", strings.Join(r.Missing, ", "))
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the handover could not be opened: %w", err)
	}
	return nil
}

// boot opens the cell's keys with the root key, for the one cell only.
func (c *cell) boot(ctx context.Context) (worker.Boot, error) {
	cfg := c.host.cfg
	opened, err := c.openKeys(ctx)
	if err != nil {
		return worker.Boot{}, err
	}
	urls, err := config.DecodeDatabases(opened.Databases[keystore.DatabaseCell])
	if err != nil {
		return worker.Boot{}, err
	}
	minted, err := c.mint()
	if err != nil {
		return worker.Boot{}, err
	}
	runDir := filepath.Join(cfg.RunDir, c.organization)
	if err := os.MkdirAll(runDir, 0o700); err != nil {
		return worker.Boot{}, schema.Errorf(schema.CodeUnavailable, "the cell's socket directory could not be made: %w", err)
	}
	b := worker.Boot{
		Organization: c.organization, Epoch: c.epoch, Idle: cfg.Idle, Databases: store.CellURLs{Door: urls.Door, Work: urls.Work},
		Engine: cfg.Engine, EngineCA: cfg.EngineCA, Token: minted, RunDir: runDir, Capacity: cfg.Capacity, Memory: cfg.Limits.Memory,
		ReadWrite: directories(urls, runDir), ReadOnly: store.TLSFiles(urls.Door, urls.Work),
	}
	if b.Floors, err = cfg.Keys.Floors(ctx, c.organization); err != nil {
		return worker.Boot{}, err
	}
	b.Keys = handKeys(opened)
	return b, nil
}

// directories are what the cell may write: its SQLite files' folders, if any.
func directories(urls config.Databases, runDir string) []string {
	out := []string{runDir}
	for _, u := range []string{urls.Door, urls.Work} {
		if path, ok := strings.CutPrefix(u, "sqlite:"); ok {
			out = append(out, filepath.Dir(path))
		}
	}
	return out
}

func (c *cell) mint() (string, error) {
	now := time.Now().Round(0)
	c.mu.Lock()
	c.minted = now
	c.mu.Unlock()
	return c.host.cfg.Signer.Mint(token.Claims{
		Subject: c.organization, Role: token.RoleCell, Namespaces: []string{c.organization},
		Expires: now.Add(c.host.tokenLife),
	})
}

// refreshTokens replaces the process's token in time, and soon after the clock
// was set: with one that has expired the cell does nothing.
func (c *cell) refreshTokens(ctx context.Context) {
	t := time.NewTicker(min(c.host.tokenLife/8, renewEvery))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		c.mu.Lock()
		stale := token.Stale(c.minted, time.Now().Round(0), c.host.tokenLife)
		c.mu.Unlock()
		if !stale {
			continue
		}
		if minted, err := c.mint(); err == nil {
			c.tell(worker.Notice{Token: minted})
		}
	}
}

func (c *cell) ring() {
	c.mu.Lock()
	c.rung = true
	c.mu.Unlock()
	c.tell(worker.Notice{Bell: true})
}

// tell sends a notice to the process, if there is one. A cell that is gone is
// started again by Keep, and looks into its inbox then.
func (c *cell) tell(n worker.Notice) {
	c.mu.Lock()
	line := c.line
	c.mu.Unlock()
	if line != nil {
		_ = line.Send(n)
	}
}
