// Package platform holds the side effects of the platform's own workflows: the
// keys, databases and engine namespace of a cell. They run in the host process,
// which alone has the right to the root key.
//
// It may import schema and workflows/platform; never worker or api.
package platform

import (
	"context"
	"sync"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// Config is what provisioning and deletion work with. All fields are required.
type Config struct {
	Keys    *keystore.Store
	Control *store.Control
	Admin   store.Admin
	// Publics are the halves that new keys are wrapped to, as they are now.
	Publics func() (keystore.Publics, error)
	// Namespace registers an engine namespace, and is idempotent.
	Namespace func(ctx context.Context, name string) error
	// DeleteNamespace removes an engine namespace, tells whether it is gone yet,
	// and is idempotent.
	DeleteNamespace func(ctx context.Context, name string) (gone bool, err error)
	// Host is the actor in the audit trail.
	Host string
}

// Platform performs the activities of provisioning and of deletion.
type Platform struct {
	cfg Config

	mu   sync.Mutex
	busy map[string]*sync.Mutex
}

// New returns the activities.
func New(cfg Config) *Platform { return &Platform{cfg: cfg, busy: make(map[string]*sync.Mutex)} }

// alone waits for the organization's other activities in this process: one that
// the engine gave up on may still be at work, and must not write last.
func (p *Platform) alone(ctx context.Context, organization string) (leave func(), err error) {
	p.mu.Lock()
	m, ok := p.busy[organization]
	if !ok {
		m = new(sync.Mutex)
		p.busy[organization] = m
	}
	p.mu.Unlock()
	m.Lock()
	if ctx.Err() != nil {
		m.Unlock()
		return nil, schema.Errorf(schema.CodeTimeout, "the activity waited too long: %w", ctx.Err())
	}
	return m.Unlock, nil
}

// Keys generates the cell's keys, once: what they have sealed would be lost
// with them.
func (p *Platform) Keys(ctx context.Context, organization string) error {
	return p.cfg.Keys.Create(ctx, organization, func() (keystore.Entry, error) {
		// Asked under the lock that a destruction takes, too: no key is made behind it.
		if err := p.wanted(ctx, organization); err != nil {
			return keystore.Entry{}, err
		}
		to, err := p.cfg.Publics()
		if err != nil {
			return keystore.Entry{}, err
		}
		return keystore.Generate(organization, to.Root, to.API)
	})
}

// Databases makes the cell's databases and keeps the addresses wrapped: the
// API's to the API key, the cell's to the root key. Asked again it makes new
// addresses of the same databases: a host that was killed in the middle may
// have changed the passwords without having kept them.
func (p *Platform) Databases(ctx context.Context, organization string) error {
	leave, err := p.alone(ctx, organization)
	if err != nil {
		return err
	}
	defer leave()
	return p.cfg.Admin.Alone(ctx, organization, func() error { return p.databases(ctx, organization) })
}

// databases sets new passwords, and keeps them.
func (p *Platform) databases(ctx context.Context, organization string) error {
	if err := p.wanted(ctx, organization); err != nil {
		return err
	}
	// Without keys there is nothing to keep an address with.
	if _, err := p.cfg.Keys.Get(ctx, organization); err != nil {
		return err
	}
	made, err := store.Provision(ctx, p.cfg.Admin, organization)
	if err != nil {
		return err
	}
	return p.cfg.Keys.Update(ctx, organization, func(entry *keystore.Entry) error {
		to, err := p.cfg.Publics()
		if err != nil {
			return err
		}
		api, err := wrapURLs(to.API, organization, keystore.DatabaseAPI, made.API)
		if err != nil {
			return err
		}
		cell, err := wrapURLs(to.Root, organization, keystore.DatabaseCell, made.Cell)
		if err != nil {
			return err
		}
		entry.Databases = map[string]keystore.Database{
			keystore.DatabaseAPI: {ToAPI: api}, keystore.DatabaseCell: {ToRoot: cell},
		}
		return nil
	})
}

func wrapURLs(to seal.PublicKey, organization, name string, urls store.CellURLs) ([]byte, error) {
	text, err := config.Databases{Door: urls.Door, Work: urls.Work}.Encode()
	if err != nil {
		return nil, err
	}
	return seal.WrapKey(to, seal.Wrap{Organization: organization, Purpose: keystore.DatabasePurpose(name)}, []byte(text))
}

// Namespace registers the cell's namespace in the engine.
func (p *Platform) Namespace(ctx context.Context, organization string) error {
	if err := p.wanted(ctx, organization); err != nil {
		return err
	}
	return p.cfg.Namespace(ctx, organization)
}

// Activate opens the organization for use, once: asked again it does not undo
// what an administrator has decided since.
func (p *Platform) Activate(ctx context.Context, organization string) error {
	leave, err := p.alone(ctx, organization)
	if err != nil {
		return err
	}
	defer leave()
	return p.cfg.Control.ActivateOrganization(ctx, organization,
		store.AuditDraft{Actor: p.cfg.Host, Action: "organization.activated", Target: organization})
}
