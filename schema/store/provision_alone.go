package store

import (
	"context"
	"database/sql"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store/internal/database"
)

// Alone does what gives an organization's roles their passwords, and keeps them,
// while no other process does: of two, the one that kept its passwords last may be
// the one that set them first. On SQLite there are no passwords to disagree about.
func (a Admin) Alone(ctx context.Context, org string, do func() error) error {
	if err := schema.CheckID(schema.PrefixOrganization, org); err != nil {
		return err
	}
	if a.PostgresURL == "" {
		return do()
	}
	return asAdmin(ctx, a.PostgresURL, func(db *sql.DB) error {
		// A lock of the session: it outlasts every transaction, and ends with its process.
		session, err := db.Conn(ctx)
		if err != nil {
			return database.Error("provision the cell", err)
		}
		defer func() { _ = session.Close() }()
		// One whose machine is gone holds it no longer than this, where the server can say
		// so (PostgreSQL 14): what is done under it takes half as long at most.
		const leave = "SELECT set_config(name, '60000', false) FROM pg_settings WHERE name = 'idle_session_timeout'"
		if _, err := session.ExecContext(ctx, leave); err != nil {
			return database.Error("provision the cell", err)
		}
		if _, err := session.ExecContext(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", namesOf(org).database); err != nil {
			return database.Error("provision the cell", err)
		}
		return do()
	})
}
