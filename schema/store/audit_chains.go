package store

import (
	"context"
	"slices"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
)

// Chains are the chains of the audit log that are verified and signed together:
// the door's and the work's of a cell, or the control database's.
type Chains struct {
	sides []*side
	// owned: they were opened for this, and are closed with it.
	owned bool
}

// Chains is the control database's chain. It stays the Control's to close.
func (c *Control) Chains() *Chains { return &Chains{sides: []*side{c.s}} }

// Chains are the cell's chains. They stay the Cell's to close.
func (c *Cell) Chains() *Chains { return &Chains{sides: []*side{c.door.s, c.work.s}} }

// OpenChains opens an organization's chains to read them, as the owner of its
// databases. It may be done while others write them, and before they are migrated.
func OpenChains(ctx context.Context, admin Admin, org string) (*Chains, error) {
	if err := schema.CheckID(schema.PrefixOrganization, org); err != nil {
		return nil, err
	}
	urls, err := ownerURLs(admin, org)
	if err != nil {
		return nil, err
	}
	door, err := openLog(ctx, urls.Door, ChainDoor)
	if err != nil {
		return nil, err
	}
	work, err := openLog(ctx, urls.Work, ChainWork)
	if err != nil {
		_ = door.close()
		return nil, err
	}
	return &Chains{sides: []*side{door, work}, owned: true}, nil
}

// ownerURLs address a cell's databases as who may do everything in them.
func ownerURLs(admin Admin, org string) (CellURLs, error) {
	if admin.PostgresURL == "" {
		return cellFiles(admin, org)
	}
	url, err := withDatabase(admin.PostgresURL, namesOf(org).database, nil)
	return CellURLs{Door: url, Work: url}, err
}

// Names of the chains.
func (c *Chains) Names() []string {
	names := make([]string, len(c.sides))
	for i, s := range c.sides {
		names[i] = s.chain
	}
	return names
}

// Heads are where the chains end now. A chain without entries is not among
// them.
func (c *Chains) Heads(ctx context.Context) ([]audit.ChainHead, error) {
	heads := make([]audit.ChainHead, 0, len(c.sides))
	for _, s := range c.sides {
		h, err := s.auditHead(ctx)
		if err != nil {
			return nil, err
		}
		if h.Seq > 0 {
			heads = append(heads, audit.ChainHead{Chain: s.chain, Head: h})
		}
	}
	return heads, nil
}

// At is an entry of a chain by its number; zero when there is none.
func (c *Chains) At(ctx context.Context, chain string, seq int64) (audit.Head, error) {
	s, err := c.side(chain)
	if err != nil {
		return audit.Head{}, err
	}
	return s.auditAt(ctx, seq)
}

// List lists entries of a chain, newest first unless the filter says otherwise.
func (c *Chains) List(ctx context.Context, chain string, f AuditFilter) ([]audit.Entry, error) {
	s, err := c.side(chain)
	if err != nil {
		return nil, err
	}
	return s.listAudit(ctx, f)
}

// Walk gives every entry of the chain, oldest first, to the walker.
func (c *Chains) Walk(ctx context.Context, chain string, w *audit.Walker) error {
	s, err := c.side(chain)
	if err != nil {
		return err
	}
	return s.walkAudit(ctx, w)
}

func (c *Chains) side(chain string) (*side, error) {
	i := slices.IndexFunc(c.sides, func(s *side) bool { return s.chain == chain })
	if i < 0 {
		return nil, schema.Errorf(schema.CodeInvalid, "there is no such chain here")
	}
	return c.sides[i], nil
}

// Close closes what was opened for reading.
func (c *Chains) Close() error {
	if !c.owned {
		return nil
	}
	var first error
	for _, s := range c.sides {
		if err := s.close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
