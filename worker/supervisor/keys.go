package supervisor

import (
	"context"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/worker"
)

// keysEvery is how often a host looks whether keys were replaced.
const keysEvery = time.Second

// publics are the halves that new keys of cells are wrapped to: either pair may
// be replaced while the host runs. A former one is refused on both sides: a host may
// have been started with an old copy of the root key, too.
func (h *Host) publics() (keystore.Publics, error) {
	root, err := h.root()
	if err == nil {
		err = h.cfg.Keys.Current(keystore.SideRoot, root[0].Public())
	}
	if err != nil {
		return keystore.Publics{}, err
	}
	api, err := h.cfg.API()
	if err == nil {
		err = h.cfg.Keys.Current(keystore.SideAPI, api)
	}
	if err != nil {
		return keystore.Publics{}, err
	}
	return keystore.Publics{Root: root[0].Public(), API: api}, nil
}

// keepKeys learns a new root pair, hands new keys to the cells that run here, and
// has the rotations begun that somebody asked for, until the context ends.
func (h *Host) keepKeys(ctx context.Context) {
	tick := time.NewTicker(keysEvery)
	defer tick.Stop()
	warn := func(what string, err error) {
		if err != nil && ctx.Err() == nil {
			h.cfg.Logger.WarnContext(ctx, what, "error", err)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		warn("the root key's successor was not learned", h.cfg.Keys.Learn(keystore.SideRoot, h.cfg.Root))
		h.mu.Lock()
		cells := make([]*cell, 0, len(h.cells))
		for _, c := range h.cells {
			cells = append(cells, c)
		}
		h.mu.Unlock()
		for _, c := range cells {
			warn("new keys were not handed to a cell; it is tried again", c.rekey(ctx))
			warn("how old credentials may be could not be kept; it is tried again", c.keepFloors(ctx))
		}
		warn("rotations could not be begun; it is tried again", h.beginRotations(ctx))
	}
}

// openKeys opens the cell's keys with the root key, and takes note of which
// state of them the process is given.
func (c *cell) openKeys(ctx context.Context) (keystore.HostCell, error) {
	// Before the entry: a change in between is handed over once more.
	mark, err := c.host.cfg.Keys.Mark(c.organization)
	if err != nil {
		return keystore.HostCell{}, err
	}
	opened, err := c.host.cfg.Keys.OpenForHost(ctx, c.organization, c.host.cfg.Root)
	if err != nil {
		return keystore.HostCell{}, err
	}
	c.mu.Lock()
	c.mark = mark
	c.mu.Unlock()
	return opened, nil
}

// rekey hands the running process its keys when they have changed.
func (c *cell) rekey(ctx context.Context) error {
	mark, err := c.host.cfg.Keys.Mark(c.organization)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return nil // It is being made, or deleted.
	}
	c.mu.Lock()
	line, same := c.line, mark == c.mark
	c.mu.Unlock()
	if err != nil || same || line == nil {
		return err
	}
	opened, err := c.openKeys(ctx)
	if err != nil {
		return err
	}
	keys := handKeys(opened)
	defer keys.Clear()
	if err := line.Send(worker.Notice{Keys: &keys}); err != nil {
		return nil //nolint:nilerr // The process is gone; the next one is given its keys at its start.
	}
	return nil
}

// handKeys are the keys as they are handed to the cell.
func handKeys(opened keystore.HostCell) worker.Keys {
	k := worker.Keys{Changing: opened.Changing, Retiring: opened.Retiring, RetiringPairs: opened.RetiringPairs}
	for _, p := range opened.Private {
		k.Private = append(k.Private, append([]byte(nil), p.Reveal()...))
	}
	for _, d := range opened.DataKeys {
		k.Data = append(k.Data, append([]byte(nil), d.Reveal()...))
	}
	for _, d := range opened.AuditKeys {
		k.Audit = append(k.Audit, append([]byte(nil), d.Reveal()...))
	}
	return k
}
