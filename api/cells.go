package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// cell is one organization's databases and keys, opened (invariant 2). It is
// good until released.
type cell struct {
	*store.Cell
	org    string
	keys   seal.DataKeys
	public seal.PublicKey
	mark   *mark
	room   *store.Room
	// acceptances are shared by all that come after one another.
	acceptances *acceptances
	// retiring and pairs are the keys that nothing may stay under.
	retiring, pairs []seal.KeyID
}

// sealsTo is the id of the pair that credentials are sealed to.
func (c *cell) sealsTo() []byte {
	id := c.public.ID()
	return id[:]
}

// cells opens cells when they are asked for and closes those that are not.
type cells struct {
	config Config
	// opened is told of a cell that was opened. It must not block.
	opened func(org string)

	mu   sync.Mutex
	open map[string]*slot
}

// slot is one organization's place in the cache. Its own lock makes callers of
// one organization wait for its opening, and nobody else's.
type slot struct {
	mu      sync.Mutex
	cell    *cell
	checked time.Time
	mark    mark
	// acceptances outlive the cell: they are as good as the audit key.
	acceptances acceptances

	// Under cells.mu: how many hold the cell, and since when nobody does.
	users int
	idle  time.Time
	// dropped: it closes with its last user.
	dropped bool
}

func newCells(c Config) *cells {
	return &cells{config: c, open: map[string]*slot{}}
}

// acquire opens the organization's cell, or says why it cannot be used now.
func (c *cells) acquire(ctx context.Context, org string) (*cell, func(), error) {
	c.mu.Lock()
	s := c.open[org]
	if s == nil {
		s = &slot{}
		c.open[org] = s
	}
	s.users++
	c.mu.Unlock()
	release := func() {
		c.mu.Lock()
		s.users--
		s.idle = c.config.Clock()
		last := s.dropped && s.users == 0 && c.open[org] == s
		if last {
			delete(c.open, org)
		}
		c.mu.Unlock()
		if last {
			s.close(c.config.Logger)
		}
	}
	opened, err := c.fresh(ctx, s, org)
	if err != nil {
		if schema.CodeOf(err) == schema.CodeNotFound {
			// Another process began to delete it.
			c.drop(org)
		}
		release()
		return nil, nil, err
	}
	return opened, release, nil
}

// fresh returns the slot's cell, its state and keys checked lately: a
// suspended organization and a destroyed key take effect within Limits.Fresh.
func (c *cells) fresh(ctx context.Context, s *slot, org string) (*cell, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := c.config.Clock()
	if s.cell != nil && now.Sub(s.checked) < c.config.Limits.Fresh {
		return s.cell, nil
	}
	if err := c.ready(ctx, org); err != nil {
		return nil, err
	}
	keys, err := c.unwrap(ctx, org)
	if err != nil {
		return nil, err
	}
	databases, room := (*store.Cell)(nil), (*store.Room)(nil)
	if s.cell != nil {
		databases, room = s.cell.Cell, s.cell.room
	} else {
		urls, err := config.DecodeDatabases(keys.Databases[keystore.DatabaseAPI])
		if err != nil {
			return nil, schema.Errorf(schema.CodeInternal, "the cell's databases are not known: %w", err)
		}
		databases, err = store.OpenCell(ctx, store.CellURLs{Door: urls.Door, Work: urls.Work}, store.SideAPI)
		if store.NotMigrated(err) {
			return nil, c.outdated(ctx, s, org)
		}
		if err != nil {
			return nil, schema.Errorf(schema.CodeUnavailable, "the cell's databases cannot be opened: %w", err)
		}
		room = databases.Room(c.config.Limits.Disk)
		c.opened(org)
	}
	s.cell = &cell{Cell: databases, org: org, keys: keys.DataKeys, public: keys.CredentialPublic, mark: &s.mark, room: room, acceptances: &s.acceptances}
	s.cell.retiring, s.cell.pairs = keys.Retiring, keys.RetiringPairs
	s.checked = now
	return s.cell, nil
}

// outdated says that the databases are those of an older binary. Their host brings
// them up to date when it claims the cell, and nobody claims one that sleeps: so
// whoever asks for it wakes it.
func (c *cells) outdated(ctx context.Context, s *slot, org string) error {
	if err := s.mark.make(ctx, c.config.Control, org); err != nil {
		return err
	}
	c.config.Bell(org)
	return schema.Errorf(schema.CodeUnavailable, "the organization's databases are being brought up to date").
		Advise("Try again after Retry-After.")
}

func (c *cells) ready(ctx context.Context, org string) error {
	o, err := c.config.Control.GetOrganization(ctx, org)
	if err != nil {
		return err
	}
	switch o.State {
	case store.OrganizationActive:
		return nil
	case store.OrganizationProvisioning:
		return provisioning()
	case store.OrganizationPutBack:
		return schema.Errorf(schema.CodePutBack, "the organization's databases are of an earlier time than what was signed: nothing of it runs, and no credential opens").
			Advise("If they were restored from a backup, an administrator accepts that on the host's machine: tenon audit accept-restore. If not, somebody tampered with them: tenon audit verify.")
	case store.OrganizationSuspended:
		return schema.Errorf(schema.CodeForbidden, "the organization is suspended")
	default:
		return schema.Errorf(schema.CodeNotFound, "there is no such organization")
	}
}

func provisioning() error {
	return schema.Errorf(schema.CodeUnavailable, "the organization is still being provisioned").
		Advise("Try again after Retry-After; its state turns active.")
}

func (c *cells) unwrap(ctx context.Context, org string) (keystore.APICell, error) {
	keys, err := c.config.Keys.OpenForAPI(ctx, org, c.config.APIKey)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return keystore.APICell{}, provisioning()
	}
	if err != nil {
		return keystore.APICell{}, schema.Errorf(schema.CodeInternal, "the cell's keys do not open: %w", err)
	}
	return keys, nil
}

// drop closes the organization's cell when the last request that uses it has
// ended, and forgets its keys.
func (c *cells) drop(org string) {
	c.mu.Lock()
	s := c.open[org]
	if s != nil {
		s.dropped = true
	}
	unused := s != nil && s.users == 0
	if unused {
		delete(c.open, org)
	}
	c.mu.Unlock()
	if unused {
		s.close(c.config.Logger)
	}
}

// close closes the slot's cell, which nobody uses.
func (s *slot) close(log *slog.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cell == nil {
		return
	}
	if err := s.cell.Close(); err != nil {
		log.Warn("a cell did not close cleanly", "organization", s.cell.org, "error", err)
	}
	s.cell = nil
}

// sweep closes the cells that nobody used for Limits.CellIdle, or, with all,
// every one.
func (c *cells) sweep(all bool) error {
	now := c.config.Clock()
	var closing []*slot
	c.mu.Lock()
	for org, s := range c.open {
		if all || (s.users == 0 && now.Sub(s.idle) >= c.config.Limits.CellIdle) {
			closing = append(closing, s)
			delete(c.open, org)
		}
	}
	c.mu.Unlock()
	var failed error
	for _, s := range closing {
		s.mu.Lock()
		if s.cell != nil {
			if err := s.cell.Close(); err != nil {
				failed = err
			}
			s.cell = nil
		}
		s.mu.Unlock()
	}
	return failed
}
