package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/bell"
	"github.com/tenonhq/tenon/schema/crash"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/token"
	"github.com/tenonhq/tenon/worker/process"
)

const (
	// lease is how long a host owns a cell without renewing. With one look and
	// the start of a cell, another host has taken over after 15 s.
	lease = 10 * time.Second
	// renewEvery renews the leases and looks for cells that want an owner; it is
	// what a lost bell costs.
	renewEvery = 2 * time.Second
	// claimAtOnce bounds the cells taken in one look.
	claimAtOnce = 64
	// startsAtOnce bounds the cells that are being started together: more would
	// only make each of them late.
	startsAtOnce = 4
	// provisionsAtOnce bounds the cells that are being made together.
	provisionsAtOnce = 8
	// migratePatience bounds bringing the databases of one cell up to date.
	migratePatience = 5 * time.Minute
)

// Config is what a host works with. All fields are required but
// EngineCA and Capacity.
type Config struct {
	Control *store.Control
	Admin   store.Admin
	Keys    *keystore.Store
	// Root opens the cells' keys; API is the half that they are also wrapped to,
	// as it is now.
	Root seal.PrivateKey
	API  func() (seal.PublicKey, error)
	// Signer mints the engine tokens of cells and of the host itself.
	Signer token.Signer
	// Engine is the address of the engine's frontend; EngineCA verifies its
	// certificate, PEM, and is empty when it speaks in clear on loopback.
	Engine   string
	EngineCA []byte
	// Namespace registers an engine namespace, and is idempotent.
	Namespace func(ctx context.Context, name string) error
	// DeleteNamespace removes an engine namespace, tells whether it is gone yet,
	// and is idempotent.
	DeleteNamespace func(ctx context.Context, name string) (gone bool, err error)
	// Revoke tells the engine that operators' tokens made by then are revoked,
	// and is idempotent.
	Revoke func(ctx context.Context, namespace string, at time.Time) error
	// Attest compares the chains of an organization, whose cell is about to run or
	// has just ended, with what was signed, and signs what has grown since.
	// CodePutBack means that it must not run.
	Attest func(ctx context.Context, organization string) error
	// Client is connected to the platform's namespace.
	Client client.Client
	// Limits bound each cell's processes.
	Limits process.Limits
	// Starter starts the cells' processes; nil starts them from this one.
	Starter process.Starter
	// Binaries is the directory of tenon-cell and what it starts; RunDir holds
	// the cells' socket directories.
	Binaries, RunDir string
	// Bells are heard for cells that have something new. They stay the caller's.
	Bells []bell.Listener
	// Env is the environment of the cell processes: settings of the log only.
	Env    []string
	Logger *slog.Logger
	// Capacity bounds the runs a cell carries at once; zero is the default.
	Capacity int
	// Idle is how long a cell has nothing to do before it sleeps; zero keeps
	// cells awake.
	Idle time.Duration
}

// Host runs cells until its context ends.
type Host struct {
	cfg Config
	id  string
	// tokenLife is cellTokenLife, except in tests.
	tokenLife time.Duration
	starting  chan struct{}
	making    chan struct{}
	// migrated are the cells whose databases this process has brought up to date.
	migrated sync.Map

	mu    sync.Mutex
	cells map[string]*cell
	wg    sync.WaitGroup
}

// New returns a host. Its identity is that of its RunDir.
func New(cfg Config) *Host {
	if cfg.Starter == nil {
		cfg.Starter = process.Local{}
	}
	return &Host{
		cfg: cfg, tokenLife: cellTokenLife, cells: make(map[string]*cell),
		starting: make(chan struct{}, startsAtOnce), making: make(chan struct{}, provisionsAtOnce),
	}
}

// Run serves until the context ends, then drains every cell and gives its
// lease back. ready is called once the host takes cells.
func (h *Host) Run(ctx context.Context, ready func()) error {
	id, lock, err := identify(ctx, h.cfg.RunDir)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	h.id = id
	w, err := h.platformWorker(ctx)
	if err != nil {
		return err
	}
	defer w.Stop()
	rung := make(chan string, 256)
	var heard sync.WaitGroup
	defer heard.Wait()
	for _, b := range h.cfg.Bells {
		heard.Go(func() { b.Listen(ctx, rung) })
	}
	heard.Go(func() { h.tellRevocations(ctx) })
	heard.Go(func() { h.tidy(ctx) })
	heard.Go(func() { h.keepKeys(ctx) })
	ready()

	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	if err := errors.Join(h.retake(ctx), h.claim(ctx)); err != nil {
		h.cfg.Logger.WarnContext(ctx, "cells could not be claimed and are tried again", "error", err)
	}
	due := time.NewTimer(h.untilWake(ctx))
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			h.drain(context.WithoutCancel(ctx))
			return nil
		case <-due.C:
			if err := h.claim(ctx); err != nil {
				h.cfg.Logger.WarnContext(ctx, "cells could not be claimed and are tried again", "error", err)
			}
		case <-tick.C:
			due.Reset(h.untilWake(ctx))
			if err := h.renew(ctx); err != nil {
				h.cfg.Logger.WarnContext(ctx, "leases could not be renewed and are tried again", "error", err)
			}
		case organization := <-rung:
			h.ring(ctx, organization)
		}
	}
}

func (h *Host) claim(ctx context.Context) error {
	now := time.Now().UTC()
	rows, err := h.cfg.Control.ClaimCells(ctx, h.id, now.Add(lease), now, claimAtOnce)
	if err != nil {
		return err
	}
	for _, row := range rows {
		h.begin(ctx, row)
	}
	return nil
}

// renew keeps the leases, stops what another host owns now, and claims what
// nobody owns.
func (h *Host) renew(ctx context.Context) error {
	owned, err := h.cfg.Control.RenewCells(ctx, h.id, time.Now().UTC().Add(lease))
	if err != nil {
		return err
	}
	keep := make(map[string]store.CellRow, len(owned))
	for _, row := range owned {
		keep[row.Organization] = row
	}
	h.mu.Lock()
	for organization, c := range h.cells {
		row, ok := keep[organization]
		if !ok || row.Epoch != c.epoch {
			h.cfg.Logger.WarnContext(ctx, "another host owns the cell now", "organization", organization)
			c.cancel()
			continue
		}
		// It stops; one that is to be deleted is claimed again for that.
		if (row.State == store.CellDeleting || row.State == store.CellPutBack) && c.state != row.State {
			c.cancel()
			continue
		}
		c.marked(row.Touches)
	}
	h.mu.Unlock()
	return h.claim(ctx)
}

// begin runs a claimed cell until it sleeps, its lease is lost, or the host drains.
func (h *Host) begin(ctx context.Context, row store.CellRow) {
	crash.At(crash.CellClaimed)
	ctx, cancel := context.WithCancel(ctx)
	c := &cell{host: h, organization: row.Organization, epoch: row.Epoch, state: row.State, cancel: cancel}
	c.marked(row.Touches)
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.cells[row.Organization]; ok {
		// The one before has ended and is not forgotten yet. The claim goes back, and
		// is made again at the next look: kept, it would be nobody's, for ever.
		cancel()
		h.wg.Go(func() { h.release(context.WithoutCancel(ctx), c) })
		return
	}
	h.cells[row.Organization] = c
	h.wg.Go(func() {
		defer cancel()
		asleep := h.live(ctx, c, row.State)
		h.mu.Lock()
		delete(h.cells, row.Organization)
		h.mu.Unlock()
		if !asleep {
			h.release(context.WithoutCancel(ctx), c)
		}
		// The bell of what came while it fell asleep went to a process that was gone.
		if c.missed() && ctx.Err() == nil {
			h.wake(ctx, row.Organization)
		}
		if row.State == store.CellActive {
			h.attest(context.WithoutCancel(ctx), row.Organization)
		}
	})
}

// live makes a cell that is new, and runs it; it tells whether the cell sleeps.
func (h *Host) live(ctx context.Context, c *cell, state string) (asleep bool) {
	if state == store.CellDeleting {
		if err := h.delete(ctx, c.organization); err != nil {
			h.cfg.Logger.WarnContext(ctx, "an organization could not be deleted and is tried again", "organization", c.organization, "error", err)
		}
		return false
	}
	if state == store.CellProvisioning {
		if err := h.provision(ctx, c.organization); err != nil {
			h.cfg.Logger.WarnContext(ctx, "a cell could not be provisioned and is tried again", "organization", c.organization, "error", err)
			return false
		}
		h.mu.Lock()
		c.state = store.CellActive
		h.mu.Unlock()
		// There is nothing to do in it yet, unless its door was marked meanwhile.
		if h.cfg.Idle > 0 && c.sleep(ctx, nil) == nil {
			return true
		}
	}
	if err := h.migrate(ctx, c.organization); err != nil {
		h.cfg.Logger.WarnContext(ctx, "a cell's databases could not be brought up to date; it is tried again", "organization", c.organization, "error", err)
		return false
	}
	return c.run(ctx)
}

// attest signs what a cell has written that has ended, however it did.
func (h *Host) attest(ctx context.Context, organization string) {
	if err := h.cfg.Attest(ctx, organization); err != nil && schema.CodeOf(err) != schema.CodePutBack {
		h.cfg.Logger.WarnContext(ctx, "the end of a cell's chains could not be signed; the next look does", "organization", organization, "error", err)
	}
}

func (h *Host) release(ctx context.Context, c *cell) {
	if err := h.cfg.Control.ReleaseCell(ctx, h.id, c.organization, c.epoch); err != nil && schema.CodeOf(err) != schema.CodeNotFound {
		h.cfg.Logger.WarnContext(ctx, "a lease could not be given back; it expires", "organization", c.organization, "error", err)
	}
}

// migrate brings the databases of a claimed cell up to date before anything
// uses them, a few cells at a time, and each once in this process's life, unless the
// cell does not start: they may have been restored from a backup since.
func (h *Host) migrate(ctx context.Context, organization string) error {
	if _, done := h.migrated.Load(organization); done {
		return nil
	}
	select {
	case h.starting <- struct{}{}:
		defer func() { <-h.starting }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return h.bringUp(ctx, organization)
}

// bringUp is migrate for who has its turn already.
func (h *Host) bringUp(ctx context.Context, organization string) error {
	if _, done := h.migrated.Load(organization); done {
		return nil
	}
	// A server that hangs must not keep others' cells from starting.
	ctx, cancel := context.WithTimeout(ctx, migratePatience)
	defer cancel()
	err := store.MigrateCell(ctx, h.cfg.Admin, organization)
	if err == nil {
		h.migrated.Store(organization, struct{}{})
	}
	return err
}

// ring passes a bell on to the cell, or wakes it.
func (h *Host) ring(ctx context.Context, organization string) {
	h.mu.Lock()
	c, ok := h.cells[organization]
	h.mu.Unlock()
	if ok {
		c.ring()
		return
	}
	h.wake(ctx, organization)
}

func (h *Host) drain(ctx context.Context) {
	h.mu.Lock()
	h.cfg.Logger.InfoContext(ctx, "host drains", "cells", len(h.cells))
	for _, c := range h.cells {
		c.cancel()
	}
	h.mu.Unlock()
	h.wg.Wait()
}
