package activities

import (
	"context"
	"encoding/json"

	"github.com/tenonhq/tenon/plugins/broker"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// connection is a connection as a call uses it.
type connection struct {
	row store.Connection
	config.Connection
}

// connection reads the named connection of the run's own namespace: a name or
// an identifier of another namespace is not found. An empty name is the
// connection without credential that may go to public hosts only.
func (e *Executor) connection(ctx context.Context, namespace, name string) (connection, error) {
	if name == "" {
		return connection{Connection: config.Connection{Settings: json.RawMessage("{}")}}, nil
	}
	row, err := e.cfg.Cell.Door().GetConnection(ctx, namespace, name)
	if err != nil {
		return connection{}, err
	}
	if row.State != store.ConnectionActive {
		return connection{}, schema.Errorf(schema.CodeRefused, "connection %s is %s", row.ID, row.State).
			Advise("Enter its credential again, or activate it, then retry the run.")
	}
	return e.setup(row)
}

// setup opens a connection's settings.
func (e *Executor) setup(row store.Connection) (connection, error) {
	plain, err := e.cfg.Data.Open(place.Connection(e.cfg.Organization, row.ID), row.SettingsSealed)
	if err != nil {
		return connection{}, err
	}
	c := connection{row: row}
	if err := json.Unmarshal(plain, &c.Connection); err != nil {
		return connection{}, schema.Errorf(schema.CodeInternal, "a stored connection does not parse: %w", err)
	}
	return c, nil
}

// opener opens a connection's credential at the moment of a call (invariant 1).
type opener struct{ a *attempt }

// Open implements [broker.Opener]. The use that is sealed inside the credential
// governs, never the one in the connection's row: where the two differ, one of
// them was changed after the credential was entered, and nothing is sent.
func (o opener) Open(ctx context.Context) (*broker.Credential, error) {
	c, err := o.a.credential(ctx)
	switch schema.CodeOf(err) {
	case "":
		o.a.used()
	case schema.CodeRefused, schema.CodeNotFound, schema.CodeInvalid:
	default:
		// A database that does not answer is not the other system's failure.
		o.a.broke = err
	}
	return c, err
}

func (a *attempt) credential(ctx context.Context) (*broker.Credential, error) {
	conn := a.conn.row
	row, err := a.e.cfg.Cell.Door().GetCredential(ctx, conn.ID, conn.CredentialVersion)
	if err != nil {
		return nil, err
	}
	if row.State == store.CredentialRevoked {
		return nil, schema.Errorf(schema.CodeRefused, "the credential of connection %s was revoked", conn.ID).Advise("Enter a new one.")
	}
	opened, err := a.e.keys.Open(row.Sealed, conn.ID, conn.CredentialVersion)
	if err != nil {
		return nil, err
	}
	if !opened.Use.Equal(a.conn.Use) {
		opened.Wipe()
		return nil, schema.Errorf(schema.CodeRefused, "the credential of connection %s was entered for another use than the connection has now", conn.ID).
			Advise("Enter the credential again.")
	}
	return &broker.Credential{Use: opened.Use, Values: opened.Values}, nil
}
