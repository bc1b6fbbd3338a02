package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/tenonhq/tenon/activities/internal/tokens"
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
	// astray: its base address is on none of its hosts.
	astray bool
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
		return connection{}, ours(err)
	}
	if row.State != store.ConnectionActive {
		return connection{}, schema.Errorf(schema.CodeRefused, "connection %s is %s", row.ID, row.State).
			Advise("Enter its credential again, or activate it, then retry the run.")
	}
	c, err := e.setup(row)
	if err == nil && c.astray {
		return connection{}, e.custody.suspend(ctx, row, 0, "its base address is on none of the hosts that its credential is bound to")
	}
	var known *schema.Error
	if errors.As(err, &known) && known.Code == schema.CodeRefused {
		return connection{}, e.custody.suspend(ctx, row, 0, "its settings were changed outside of the API, or are another connection's")
	}
	return c, err
}

// setup is what a connection's settings were opened to. They hold no secret, and
// are shared: they must not be changed.
type setup struct {
	sealed []byte
	opened config.Connection
	astray bool
}

// setup opens a connection's settings, once for each time that they change.
func (e *Executor) setup(row store.Connection) (connection, error) {
	if known, ok := e.setups.Load(row.ID); ok {
		if known := known.(setup); bytes.Equal(known.sealed, row.SettingsSealed) { //nolint:forcetypeassert // Only setups are stored.
			return connection{row: row, Connection: known.opened, astray: known.astray}, nil
		}
	}
	plain, err := e.cfg.Data.Open(place.Connection(e.cfg.Organization, row.ID), row.SettingsSealed)
	if err != nil {
		return connection{}, err
	}
	c := connection{row: row}
	if err := json.Unmarshal(plain, &c.Connection); err != nil {
		return connection{}, schema.Errorf(schema.CodeInternal, "a stored connection does not parse: %w", err)
	}
	// The API lets no such settings in.
	base := c.Base()
	c.astray = len(c.Use.Hosts) > 0 && base != "" && broker.Bound(base, c.Use) != nil
	e.setups.Store(row.ID, setup{row.SettingsSealed, c.Connection, c.astray})
	return c, nil
}

// choose picks the version of the connection's credential that a request uses:
// nil when the connection has none.
func (a *attempt) choose(ctx context.Context) (row *store.Credential, trial bool, err error) {
	conn := a.conn.row
	switch {
	case conn.ID == "":
		return nil, false, nil
	case a.version > 0:
		pinned, err := a.e.cfg.Cell.Door().GetCredential(ctx, conn.ID, a.version)
		return &pinned, false, err
	}
	return a.e.custody.choose(ctx, a.conn)
}

// opener opens a version of a connection's credential at the moment of a call
// (invariant 1).
type opener struct {
	a   *attempt
	row store.Credential
}

// Open implements [broker.Opener]. The use that is sealed inside the credential
// governs, never the one in the connection's row: where the two differ, one of
// them was changed after the credential was entered, and nothing is sent.
func (o opener) Open(ctx context.Context) (*broker.Credential, error) {
	c, err := o.a.e.open(ctx, o.a.conn, o.row)
	if err == nil {
		err = o.a.authorize(ctx, o.row.Version, c)
	}
	if err == nil {
		o.a.used()
		return c, nil
	}
	return nil, o.a.closed(err)
}

// closed keeps what is this side's failure, such as a database that does not
// answer, from being taken for the other system's.
func (a *attempt) closed(err error) error {
	if errors.Is(err, tokens.ErrEndpoint) {
		return err // That is another system, too.
	}
	switch schema.CodeOf(err) { // The others are this side's.
	case schema.CodeRefused, schema.CodeNotFound, schema.CodeInvalid:
	default:
		a.broke = ours(err)
	}
	return err
}

// ours keeps a time that ran out on this side, such as that for a database which does
// not answer, from being told to the flow as the call's.
func ours(err error) error {
	if schema.CodeOf(err) != schema.CodeTimeout {
		return err
	}
	return schema.Errorf(schema.CodeUnavailable, "the cell could not read or write in time: %w", err)
}

// open opens a version of a connection's credential. One that does not open, or
// was entered for another use than the connection has now, suspends the
// connection: no way of ours leads there.
func (e *Executor) open(ctx context.Context, conn connection, row store.Credential) (*broker.Credential, error) {
	switch row.State {
	case store.CredentialRevoked, store.CredentialReplaced:
		return nil, schema.Errorf(schema.CodeRefused, "that version of the credential of connection %s was %s", conn.row.ID, row.State).
			Advise("Enter a new one.")
	}
	opened, err := e.keys.Open(row.Sealed, conn.row.ID, row.Version)
	var known *schema.Error
	switch {
	case errors.As(err, &known) && known.Code == schema.CodeRefused:
		return nil, e.custody.suspend(ctx, conn.row, row.Version, known.Message)
	case err != nil:
		return nil, err
	case !opened.Use.Equal(conn.Use):
		opened.Wipe()
		return nil, e.custody.suspend(ctx, conn.row, row.Version, "the credential was entered for another use than the connection has now")
	}
	return &broker.Credential{Use: opened.Use, Values: opened.Values}, nil
}
