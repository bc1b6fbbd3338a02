package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/tenonhq/tenon/schema/bell"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/token"
)

const (
	// lease is how long a host owns a cell without renewing.
	lease = 15 * time.Second
	// renewEvery renews the leases and looks for cells without an owner.
	renewEvery = 3 * time.Second
	// claimAtOnce bounds the cells taken in one look.
	claimAtOnce = 64
	// startsAtOnce bounds the cells that are being started together: more would
	// only make each of them late.
	startsAtOnce = 4
)

// Config is what a host works with. All fields are required but
// EngineCA and Capacity.
type Config struct {
	Control *store.Control
	Admin   store.Admin
	Keys    *keystore.Store
	// Root opens the cells' keys; API is the half they are also wrapped to.
	Root seal.PrivateKey
	API  seal.PublicKey
	// Signer mints the engine tokens of cells and of the host itself.
	Signer token.Signer
	// Engine is the address of the engine's frontend; EngineCA verifies its
	// certificate, PEM, and is empty when it speaks in clear on loopback.
	Engine   string
	EngineCA []byte
	// Namespace registers an engine namespace, and is idempotent.
	Namespace func(ctx context.Context, name string) error
	// Revoke tells the engine that operators' tokens made by then are revoked,
	// and is idempotent.
	Revoke func(ctx context.Context, namespace string, at time.Time) error
	// Client is connected to the platform's namespace.
	Client client.Client
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
}

// Host runs cells until its context ends.
type Host struct {
	cfg Config
	id  string
	// tokenLife is cellTokenLife, except in tests.
	tokenLife time.Duration
	starting  chan struct{}

	mu    sync.Mutex
	cells map[string]*cell
	wg    sync.WaitGroup
}

// New returns a host. Its identity is that of its RunDir.
func New(cfg Config) *Host {
	return &Host{cfg: cfg, tokenLife: cellTokenLife, starting: make(chan struct{}, startsAtOnce), cells: make(map[string]*cell)}
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
	ready()

	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	if err := errors.Join(h.retake(ctx), h.claim(ctx)); err != nil {
		h.cfg.Logger.WarnContext(ctx, "cells could not be claimed and are tried again", "error", err)
	}
	for {
		select {
		case <-ctx.Done():
			h.drain(context.WithoutCancel(ctx))
			return nil
		case <-tick.C:
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
	keep := make(map[string]bool, len(owned))
	for _, organization := range owned {
		keep[organization] = true
	}
	h.mu.Lock()
	for organization, c := range h.cells {
		if !keep[organization] {
			h.cfg.Logger.WarnContext(ctx, "another host owns the cell now", "organization", organization)
			c.cancel()
		}
	}
	h.mu.Unlock()
	return h.claim(ctx)
}

// begin runs a claimed cell until its lease is lost or the host drains.
func (h *Host) begin(ctx context.Context, row store.CellRow) {
	ctx, cancel := context.WithCancel(ctx)
	c := &cell{host: h, organization: row.Organization, cancel: cancel}
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.cells[row.Organization]; ok {
		cancel()
		return
	}
	h.cells[row.Organization] = c
	h.wg.Go(func() {
		defer cancel()
		defer func() {
			h.mu.Lock()
			delete(h.cells, row.Organization)
			h.mu.Unlock()
			if err := h.cfg.Control.ReleaseCell(context.WithoutCancel(ctx), h.id, row.Organization); err != nil {
				h.cfg.Logger.WarnContext(ctx, "a lease could not be given back; it expires", "organization", row.Organization, "error", err)
			}
		}()
		if row.State == store.CellProvisioning {
			if err := h.provision(ctx, row.Organization); err != nil {
				h.cfg.Logger.WarnContext(ctx, "a cell could not be provisioned and is tried again", "organization", row.Organization, "error", err)
				return
			}
		}
		if err := h.migrate(ctx, row.Organization); err != nil {
			h.cfg.Logger.WarnContext(ctx, "a cell's databases could not be brought up to date; it is tried again", "organization", row.Organization, "error", err)
			return
		}
		c.run(ctx)
	})
}

// migrate brings the databases of a claimed cell up to date before anything
// uses them, a few cells at a time.
func (h *Host) migrate(ctx context.Context, organization string) error {
	select {
	case h.starting <- struct{}{}:
		defer func() { <-h.starting }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return store.MigrateCell(ctx, h.cfg.Admin, organization)
}

// ring passes a bell on to the cell, or looks for a new one.
func (h *Host) ring(ctx context.Context, organization string) {
	h.mu.Lock()
	c, ok := h.cells[organization]
	h.mu.Unlock()
	if ok {
		c.ring()
		return
	}
	if err := h.claim(ctx); err != nil {
		h.cfg.Logger.WarnContext(ctx, "cells could not be claimed and are tried again", "error", err)
	}
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
