package activities

import (
	"context"
	"maps"
	"slices"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/store"
)

// raise has what is known of credentials kept apart from the databases. It is on
// disk here by then: what is kept there is never ahead of the record, unless the
// record was put back.
func (c *custodian) raise(known map[string]config.Floor) {
	higher := make(map[string]config.Floor, len(known))
	c.mu.Lock()
	for connection, f := range known {
		now := c.floors[connection]
		if now.Max(f) != now {
			c.floors[connection] = now.Max(f)
			higher[connection] = c.floors[connection]
		}
	}
	c.mu.Unlock()
	if len(higher) > 0 {
		c.e.cfg.Raised(higher)
	}
}

// CompareFloors takes up what is known of credentials apart from the databases,
// and has kept there what is not. A record that is behind it was put back with
// its database: the connections whose credentials are of that time, too, are
// suspended until they are entered again (invariant 1). It is to be called
// before anything of the cell runs.
func (e *Executor) CompareFloors(ctx context.Context) error {
	rows, err := e.cfg.Cell.Work().ListCustody(ctx, "")
	if err != nil {
		return err
	}
	known := make(map[string]config.Floor, len(rows))
	for _, row := range rows {
		// One that does not open says nothing that should be kept for ever.
		if k, whole := e.custody.open(row); whole {
			known[row.Connection] = k.Known()
		}
	}
	for _, connection := range slices.Sorted(maps.Keys(e.cfg.Floors)) {
		if f := e.cfg.Floors[connection]; f.Max(known[connection]) == known[connection] {
			continue
		}
		if err := e.custody.behind(ctx, connection); err != nil {
			return err
		}
	}
	e.custody.raise(known)
	return nil
}

// behind writes what is known of a connection into its record, which was put
// back, and suspends the connection if its credential was, too.
func (c *custodian) behind(ctx context.Context, id string) error {
	conn, err := c.e.cfg.Cell.Door().FindConnection(ctx, id)
	if schema.CodeOf(err) == schema.CodeNotFound || err == nil && conn.State == store.ConnectionDeleted {
		return nil // It was made after the copy that was put back, or it is gone.
	}
	if err != nil {
		return err
	}
	err = c.change(ctx, conn.ID, conn.Namespace, 0, func(k *config.Custody) ([]store.AuditDraft, bool) {
		return []store.AuditDraft{c.draft("credential.put_back", conn.ID, conn.Namespace, map[string]any{
			"lowest": k.Floor, "entered": k.Entered, "found": conn.CredentialVersion,
		})}, true
	})
	if err != nil {
		return err
	}
	k, err := c.get(ctx, conn.ID)
	if err != nil {
		return err
	}
	live, err := c.e.cfg.Cell.Door().LiveCredentials(ctx, conn.ID)
	if err != nil {
		return err
	}
	if conn.CredentialVersion >= k.Entered && (len(live) == 0 || live[0].Version >= k.Floor) {
		return nil
	}
	err = c.suspend(ctx, conn, 0, "its credential is of an earlier time than the one that was entered last: its databases were put back")
	if schema.CodeOf(err) == schema.CodeRefused {
		return nil // It is suspended, and that is recorded.
	}
	return err
}
