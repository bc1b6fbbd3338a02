package store

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/tenonhq/tenon/schema"
)

// CreateConnection adds a connection; its name is unique in the namespace
// among those that are not deleted.
func (d *Door) CreateConnection(ctx context.Context, c Connection, a AuditDraft) error {
	return d.s.w.do(ctx, "create the connection", func(t *txn) error {
		row := c
		if row.State == "" {
			row.State = ConnectionActive
		}
		row.SettingsSealed = blob(row.SettingsSealed)
		row.CredentialVersion = 0
		stamp(&row.CreatedAt, &row.UpdatedAt)
		if err := t.insert(&row); err != nil {
			return err
		}
		t.audit(a)
		return nil
	})
}

// UpdateConnection writes a connection's sealed settings, state and scheme;
// what is empty stays as it is. Name, connector and credential do not change
// by it.
func (d *Door) UpdateConnection(ctx context.Context, c Connection, a AuditDraft) error {
	return d.s.w.do(ctx, "update the connection", func(t *txn) error {
		err := t.change(func(db bun.IDB) query {
			q := db.NewUpdate().Model((*Connection)(nil)).Set("updated_at = ?", now()).
				Where("id = ? AND namespace = ?", c.ID, c.Namespace)
			if c.SettingsSealed != nil {
				q = q.Set("settings_sealed = ?", c.SettingsSealed)
			}
			if c.State != "" {
				q = q.Set("state = ?", c.State)
			}
			if c.Scheme != "" {
				q = q.Set("scheme = ?", c.Scheme)
			}
			return q
		})
		if err != nil {
			return err
		}
		t.audit(a)
		return nil
	})
}

const selectConnection = `SELECT id, namespace, name, connector, settings_sealed, state, credential_version, scheme, created_at, updated_at
FROM connections WHERE namespace = ? AND `

func scanConnection(row scanner) (Connection, error) {
	var c Connection
	err := row.Scan(&c.ID, &c.Namespace, &c.Name, &c.Connector, &c.SettingsSealed, &c.State, &c.CredentialVersion, &c.Scheme,
		&c.CreatedAt, &c.UpdatedAt)
	c.utc()
	return c, err
}

// GetConnection finds a connection of the namespace by id or name. A deleted
// one is found by its id only. Calls that come together share a read, and the
// value: it must not be changed.
func (d *Door) GetConnection(ctx context.Context, namespace, idOrName string) (Connection, error) {
	where := "name = ? AND state <> '" + ConnectionDeleted + "'"
	if schema.CheckID(schema.PrefixConnection, idOrName) == nil {
		where = "id = ?"
	}
	return d.connections.get(ctx, namespace+"\x00"+idOrName, func(ctx context.Context) (Connection, error) {
		rows, err := d.s.Query(ctx, selectConnection+where, namespace, idOrName)
		return single("find the connection", rows, err, scanConnection)
	})
}

// FindConnection finds a connection of any namespace by its id.
func (d *Door) FindConnection(ctx context.Context, id string) (Connection, error) {
	return one[Connection](ctx, d.s.Bun(), "connection", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("id = ?", id)
	})
}

// ListConnections lists the connections of a namespace, newest first, without
// deleted ones.
func (d *Door) ListConnections(ctx context.Context, namespace string) ([]Connection, error) {
	return many[Connection](ctx, d.s.Bun(), "connections", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("namespace = ? AND state <> ?", namespace, ConnectionDeleted).Order("id DESC")
	})
}
