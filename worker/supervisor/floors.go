package supervisor

import (
	"context"
	"maps"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
)

// keep puts into the key store what the cell reports of its credentials. What
// could not be written is tried again with what is reported next, and every
// [keysEvery].
func (c *cell) keep(known map[string]config.Floor) {
	if len(known) == 0 {
		return
	}
	c.mu.Lock()
	if c.unkept == nil {
		c.unkept = make(map[string]config.Floor, len(known))
	}
	for connection, f := range known {
		c.unkept[connection] = c.unkept[connection].Max(f)
	}
	c.mu.Unlock()
	if err := c.keepFloors(context.Background()); err != nil {
		c.host.cfg.Logger.Error("how old credentials may be could not be kept and is tried again", "organization", c.organization, "error", err)
	}
}

// keepFloors puts what is not kept yet into the key store.
func (c *cell) keepFloors(ctx context.Context) error {
	c.mu.Lock()
	unkept := maps.Clone(c.unkept)
	c.mu.Unlock()
	if len(unkept) == 0 {
		return nil
	}
	err := c.host.cfg.Keys.RaiseFloors(ctx, c.organization, unkept)
	if err != nil && schema.CodeOf(err) != schema.CodeNotFound { // Without keys nothing opens.
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for connection, f := range unkept {
		if c.unkept[connection] == f {
			delete(c.unkept, connection)
		}
	}
	return nil
}
