package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	platformactivities "github.com/tenonhq/tenon/activities/platform"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/token"
	"github.com/tenonhq/tenon/worker"
	"github.com/tenonhq/tenon/worker/notary"
	"github.com/tenonhq/tenon/worker/supervisor"
	"github.com/tenonhq/tenon/workflows/platform"
)

const (
	// systemTokenLife is how long the host's own engine token is good for.
	systemTokenLife = 10 * time.Minute
	// namespaceRetention is how long the engine keeps what has ended; the
	// cell's own database is the truth.
	namespaceRetention = 24 * time.Hour
	// engineDialPatience is how long a host waits for the engine to answer.
	engineDialPatience = 30 * time.Second
)

// systemToken adds the host's engine token to each call, made anew at half its
// life, and when the clock was set: one that was made by a clock that was slow
// has expired for others.
type systemToken struct {
	signer token.Signer
	mu     sync.Mutex
	text   string
	made   time.Time
}

// GetHeaders implements the engine client's header provider.
func (s *systemToken) GetHeaders(context.Context) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now().Round(0); token.Stale(s.made, now, systemTokenLife) {
		text, err := s.signer.Mint(token.Claims{Subject: "host", Role: token.RoleSystem, Expires: now.Add(systemTokenLife)})
		if err != nil {
			return nil, err
		}
		s.text, s.made = text, now
	}
	return map[string]string{"authorization": "Bearer " + s.text}, nil
}

func runHost(ctx context.Context, e env) error {
	dir, err := binaries()
	if err != nil {
		return err
	}
	limits := e.limits(ctx)
	ctx, cells, err := e.enclose(ctx, dir)
	if err != nil {
		return err
	}
	defer cells.Close()
	root, err := e.rootKey().Load(ctx)
	if err != nil {
		return err
	}
	// The API's pair may be replaced while the host runs: it is read each time.
	apiPublic := func() (seal.PublicKey, error) { return keystore.LoadPublic(e.apiPublic) }
	public, err := apiPublic()
	if err != nil {
		return err
	}
	if public == root.Public() {
		return sameKey()
	}
	signer, err := token.LoadSigner(e.signer)
	if err != nil {
		return err
	}
	checkpoints, err := audit.LoadSigner(e.checkpointKey)
	if err != nil {
		return err
	}
	checkpointKeys, err := audit.LoadKeys(e.checkpointPublic)
	if err != nil {
		return err
	}
	keys, err := keystore.Open(e.cellKeys)
	if err != nil {
		return err
	}
	control, err := store.OpenControl(ctx, e.controlURL())
	if err != nil {
		return err
	}
	defer func() { _ = control.Close() }()
	open, err := e.admin().OpenToAll(ctx)
	if err != nil {
		return err
	}
	if len(open) > 0 {
		e.logger.WarnContext(ctx, "other databases of the server let every role in, the roles of cells too: give Tenon a server of its own, or REVOKE CONNECT ON DATABASE … FROM PUBLIC", "databases", open)
	}
	engineCA, err := readOptional("engine-ca", e.EngineCA)
	if err != nil {
		return err
	}
	engine, err := dialEngine(ctx, e, engineCA, &systemToken{signer: signer})
	if err != nil {
		return err
	}
	defer engine.Close()
	revoke := func(ctx context.Context, name string, at time.Time) error {
		return platformactivities.RevokeTokens(ctx, engine, name, at)
	}
	namespace := func(ctx context.Context, name string) error {
		if name == platform.Namespace {
			return platformactivities.EnsureNamespace(ctx, engine, name, namespaceRetention)
		}
		o, err := control.GetOrganization(ctx, name)
		if err == nil && o.State == store.OrganizationDeleting {
			err = schema.Errorf(schema.CodeNotFound, "the organization is being deleted")
		}
		if err != nil {
			return err
		}
		if err := platformactivities.EnsureNamespace(ctx, engine, name, namespaceRetention); err != nil || o.TokensNotBefore == nil {
			return err
		}
		// An engine that lost its store lost what was revoked, too.
		return revoke(ctx, name, *o.TokensNotBefore)
	}
	removed := func(ctx context.Context, name string) (bool, error) {
		return platformactivities.RemoveNamespace(ctx, engine, name)
	}
	if err := namespace(ctx, platform.Namespace); err != nil {
		return err
	}
	bells, err := e.listeners()
	if err != nil {
		return err
	}
	defer func() {
		for _, b := range bells {
			_ = b.Close()
		}
	}()
	var host *supervisor.Host
	notary, err := notary.New(notary.Config{
		Control: control, Admin: e.admin(), Signer: checkpoints, Keys: checkpointKeys, Directory: e.checkpoints,
		Awake: func() []string { return host.Awake() }, Logger: e.logger,
		Seal: func(ctx context.Context, organization string, detail []byte) ([]byte, error) {
			cell, err := keys.OpenForHost(ctx, organization, root)
			if err != nil {
				return nil, err
			}
			return keystore.Set(cell.DataKeys, cell.AuditKeys).Seal(place.Audit(organization, store.ChainControl), detail), nil
		},
	})
	if err != nil {
		return err
	}
	host = supervisor.New(supervisor.Config{
		Control: control, Admin: e.admin(), Keys: keys, Root: root, API: apiPublic, Signer: signer, Engine: e.Engine, EngineCA: engineCA,
		Namespace: namespace, DeleteNamespace: removed, Revoke: revoke, Attest: notary.Attest, Client: engine, Starter: cells, Limits: limits, Capacity: e.Cell.Runs, Binaries: dir, RunDir: filepath.Join(e.run, "cells"), Bells: bells, Idle: e.CellIdle,
		Env: []string{"TENON_LOG_FORMAT=" + e.LogFormat, "TENON_LOG_LEVEL=" + e.LogLevel, "PATH=" + os.Getenv("PATH")}, Logger: e.logger,
	})
	signs, stopSigning := context.WithCancel(ctx)
	var signing sync.WaitGroup
	signing.Go(func() { notary.Run(signs) })
	err = host.Run(ctx, func() { e.logger.InfoContext(ctx, "the host takes cells") })
	stopSigning()
	signing.Wait()
	return errors.Join(err, orphaned(cells))
}

// dialEngine connects to the platform's namespace, waiting for the engine to answer.
func dialEngine(ctx context.Context, e env, ca []byte, headers *systemToken) (client.Client, error) {
	transport, err := worker.EngineTLS(e.Engine, ca)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(engineDialPatience)
	for {
		c, err := client.DialContext(ctx, client.Options{
			HostPort: e.Engine, Namespace: platform.Namespace, Logger: worker.EngineLog(e.logger), HeadersProvider: headers,
			ConnectionOptions: client.ConnectionOptions{TLS: transport, TLSDisabled: transport == nil},
		})
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return nil, schema.Errorf(schema.CodeUnavailable, "the engine at %s does not answer: %w", e.Engine, err)
		}
		t := time.NewTimer(100 * time.Millisecond)
		select {
		case <-ctx.Done():
			t.Stop()
		case <-t.C:
		}
	}
}
