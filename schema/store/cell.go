package store

import (
	"context"

	"github.com/tenonhq/tenon/schema"
)

// Side says what of a cell a process writes.
type Side string

// The sides. A process reads both.
const (
	// SideAPI writes the door.
	SideAPI Side = "api"
	// SideCell writes the work.
	SideCell Side = "cell"
	// SideNone writes neither: it looks.
	SideNone Side = "none"
	// SideBoth writes both: for provisioning and tests.
	SideBoth Side = "both"
)

func (s Side) door() bool { return s == SideAPI || s == SideBoth }

func (s Side) work() bool { return s == SideCell || s == SideBoth }

// CellURLs are the addresses of a cell's two sides: two SQLite files, or one
// PostgreSQL database twice.
type CellURLs struct{ Door, Work string }

// Cell is the pair of databases of one organization.
type Cell struct {
	door *Door
	work *Work
}

// OpenCell opens both sides. On SQLite it migrates the side it writes; on
// PostgreSQL only provisioning may. A side that is not migrated yet is
// CodeUnavailable ([NotMigrated]), one that a newer binary migrated CodeConflict.
func OpenCell(ctx context.Context, urls CellURLs, writes Side) (*Cell, error) {
	switch writes {
	case SideAPI, SideCell, SideBoth, SideNone:
	default:
		return nil, schema.Errorf(schema.CodeInvalid, "a cell is opened for api, cell, both or none")
	}
	door, err := openSide(ctx, urls.Door, ChainDoor, !writes.door(), writes.door() && isSQLite(urls.Door))
	if err != nil {
		return nil, err
	}
	work, err := openSide(ctx, urls.Work, ChainWork, !writes.work(), writes.work() && isSQLite(urls.Work))
	if err != nil {
		_ = door.close()
		return nil, err
	}
	return &Cell{door: &Door{s: door}, work: &Work{work}}, nil
}

// Door is what the API writes.
func (c *Cell) Door() *Door { return c.door }

// Work is what the cell writes.
func (c *Cell) Work() *Work { return c.work }

// Ping asks both sides for a sign of life.
func (c *Cell) Ping(ctx context.Context) error {
	if err := c.door.s.ping(ctx); err != nil {
		return err
	}
	return c.work.s.ping(ctx)
}

// Close waits for what was accepted and closes both sides.
func (c *Cell) Close() error {
	err := c.door.s.close()
	if werr := c.work.s.close(); err == nil {
		err = werr
	}
	return err
}
