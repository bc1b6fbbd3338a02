package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/plugins/broker"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// The states of connections and of sources have the same names.
const (
	rowActive  = store.ConnectionActive
	rowDeleted = store.ConnectionDeleted
)

// Connection is a connector set up for one account of one system.
type Connection struct {
	ID                string           `json:"id"`
	Name              string           `json:"name"`
	Connector         string           `json:"connector"`
	State             string           `json:"state" enum:"active,suspended" doc:"suspended: by somebody, or by the cell, which says why."`
	Suspended         *Suspension      `json:"suspended,omitempty" doc:"Why the cell suspended it: until a new version of its credential is saved, nothing is sent."`
	Settings          json.RawMessage  `json:"settings" doc:"The connector's own settings, nothing secret."`
	Use               *seal.Use        `json:"use,omitempty" doc:"Where its credential may go, and how."`
	IdempotencyHeader string           `json:"idempotency_header,omitempty"`
	Lookup            *config.Lookup   `json:"lookup,omitempty"`
	RotationDays      int              `json:"rotation_days" doc:"After how many days its credential should be replaced."`
	MaxCalls          int              `json:"max_concurrent_calls" doc:"How many of its calls are under way at a time; the others wait."`
	ThrottlePatience  int              `json:"throttle_patience" doc:"For how many seconds a call that the system does not take for now (429, or 503 with Retry-After) is made again before the flow is told."`
	Uncertain         config.Uncertain `json:"uncertain" doc:"What an effect is taken for when nobody can find out whether it happened."`
	CredentialVersion int              `json:"credential_version" doc:"0: none was entered."`
	CreatedAt         time.Time        `json:"created_at"`
	UpdatedAt         time.Time        `json:"updated_at"`
}

type createConnection struct {
	Body struct {
		Name              string          `json:"name" pattern:"^[a-z][a-z0-9_-]{0,62}$" patternDescription:"lower-case letters, digits, _ and -"`
		Connector         string          `json:"connector" minLength:"1" maxLength:"64"`
		Settings          json.RawMessage `json:"settings,omitempty"`
		Use               *seal.Use       `json:"use,omitempty" doc:"Required before a credential can be entered."`
		IdempotencyHeader *string         `json:"idempotency_header,omitempty" maxLength:"64" pattern:"^[A-Za-z0-9-]*$" doc:"Header that carries an effect's key; such as Idempotency-Key, for a system that is known to honour it. Empty, the default: an effect whose outcome is not known is never repeated."`
		Lookup            *config.Lookup  `json:"lookup,omitempty"`
		RotationDays      int             `json:"rotation_days,omitempty" minimum:"1" maximum:"180" doc:"After how many days its credential should be replaced; default 90."`
		Calls
	}
}

type updateConnection struct {
	ConnectionPath
	Body struct {
		Settings          json.RawMessage `json:"settings,omitempty"`
		Use               *seal.Use       `json:"use,omitempty" doc:"Can change while no credential is in force only."`
		IdempotencyHeader *string         `json:"idempotency_header,omitempty" maxLength:"64" pattern:"^[A-Za-z0-9-]*$"`
		Lookup            *config.Lookup  `json:"lookup,omitempty"`
		RotationDays      int             `json:"rotation_days,omitempty" minimum:"1" maximum:"180"`
		Calls
		State string `json:"state,omitempty" enum:"active,suspended"`
	}
}

// Calls is how the calls of a connection are made. Exported: the framework fills
// in no unexported embedded fields.
type Calls struct {
	MaxCalls         int               `json:"max_concurrent_calls,omitempty" minimum:"1" maximum:"32" doc:"At most so many of its calls are under way at a time; default 16."`
	ThrottlePatience *int              `json:"throttle_patience,omitempty" minimum:"0" maximum:"3600" doc:"For how many seconds a call that the system does not take for now (429, or 503 with Retry-After) is made again before the flow is told; default 300. 0: the flow is told at once, and other calls do not wait."`
	Uncertain        *config.Uncertain `json:"uncertain,omitempty" doc:"What an effect is taken for when nobody can find out whether it happened."`
}

// set puts what is given into a setup, and names it.
func (in Calls) set(setup *config.Connection) (changed []string) {
	if in.MaxCalls != 0 {
		setup.MaxCalls, changed = in.MaxCalls, append(changed, "max_concurrent_calls")
	}
	if in.ThrottlePatience != nil {
		setup.ThrottlePatience, changed = in.ThrottlePatience, append(changed, "throttle_patience")
	}
	if in.Uncertain != nil {
		setup.Uncertain, changed = in.Uncertain, append(changed, "uncertain")
	}
	return changed
}

// ConnectionPath names a connection. Exported: the framework fills in no unexported
// embedded parameters.
type ConnectionPath struct {
	Connection string `path:"connection" maxLength:"64" doc:"Id or name."`
}

func (s *Server) registerConnections() {
	tags := []string{"Connections"}
	read := access{scope: scopeNamespace, permission: ConnectionsRead}
	write := access{scope: scopeNamespace, permission: ConnectionsWrite}
	handle(s, huma.Operation{
		OperationID: "create-connection", Method: http.MethodPost, Path: "/v1/connections", Tags: tags,
		Summary: "Create a connection", DefaultStatus: http.StatusCreated,
	}, write, s.createConnection)
	handle(s, huma.Operation{
		OperationID: "list-connections", Method: http.MethodGet, Path: "/v1/connections", Tags: tags, Summary: "List connections",
	}, read, func(ctx context.Context, c *caller, _ *struct{}) (*Output[List[Connection]], error) {
		rows, err := c.cell.Door().ListConnections(ctx, c.namespace.ID)
		if err != nil {
			return nil, err
		}
		page := List[Connection]{Items: []Connection{}}
		for _, row := range rows {
			shown, err := c.showConnection(ctx, row)
			if err != nil {
				return nil, err
			}
			page.Items = append(page.Items, shown.Body)
		}
		return answer(page), nil
	})
	handle(s, huma.Operation{
		OperationID: "get-connection", Method: http.MethodGet, Path: "/v1/connections/{connection}", Tags: tags, Summary: "Show a connection",
	}, read, func(ctx context.Context, c *caller, in *ConnectionPath) (*Output[Connection], error) {
		row, err := c.connection(ctx, in.Connection)
		if err != nil {
			return nil, err
		}
		return c.showConnection(ctx, row)
	})
	handle(s, huma.Operation{
		OperationID: "update-connection", Method: http.MethodPatch, Path: "/v1/connections/{connection}", Tags: tags,
		Summary:     "Change a connection",
		Description: "What the credential is bound to (use) cannot change under it: revoke it first, and enter it again after.",
	}, write, s.updateConnection)
	handle(s, huma.Operation{
		OperationID: "delete-connection", Method: http.MethodDelete, Path: "/v1/connections/{connection}", Tags: tags,
		Summary: "Delete a connection and revoke its credential", DefaultStatus: http.StatusNoContent,
	}, write, s.deleteConnection)
}

// connection finds a connection of the caller's namespace.
func (c *caller) connection(ctx context.Context, idOrName string) (store.Connection, error) {
	row, err := c.cell.Door().GetConnection(ctx, c.namespace.ID, idOrName)
	if err == nil && row.State == rowDeleted {
		err = schema.Errorf(schema.CodeNotFound, "there is no such connection")
	}
	return row, err
}

// setup opens a connection's settings.
func (c *caller) setup(row store.Connection) (config.Connection, error) {
	var opened config.Connection
	err := c.cell.openJSON(place.Connection(c.org, row.ID), row.SettingsSealed, &opened)
	return opened, err
}

func (c *caller) showConnection(ctx context.Context, row store.Connection) (*Output[Connection], error) {
	opened, err := c.setup(row)
	if err != nil {
		return nil, err
	}
	k, err := c.custody(ctx, row.ID)
	if err != nil {
		return nil, err
	}
	shown := Connection{
		ID: row.ID, Name: row.Name, Connector: row.Connector, State: row.State,
		Settings: opened.Settings, IdempotencyHeader: opened.IdempotencyHeader, Lookup: opened.Lookup,
		RotationDays: cmp.Or(opened.RotationDays, rotationDays), MaxCalls: cmp.Or(opened.MaxCalls, config.DefaultCalls),
		ThrottlePatience: config.DefaultPatience, Uncertain: config.Uncertain{Outcome: config.UncertainAsk},
		CredentialVersion: row.CredentialVersion, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
	}
	if shown.Suspended = suspension(k.Custody, row.CredentialVersion); shown.Suspended != nil {
		shown.State = store.ConnectionSuspended
	}
	if opened.ThrottlePatience != nil {
		shown.ThrottlePatience = *opened.ThrottlePatience
	}
	if opened.Uncertain != nil {
		shown.Uncertain = *opened.Uncertain
	}
	if bound(opened.Use) {
		shown.Use = &opened.Use
	}
	return answer(shown), nil
}

func bound(u seal.Use) bool { return len(u.Hosts) > 0 }

// checkSetup validates what a connection is made of against its connector.
func (s *Server) checkSetup(connector string, setup config.Connection) error {
	k, ok := s.catalog.by[connector]
	if !ok {
		return schema.Errorf(schema.CodeInvalid, "there is no such connector").At("/connector").
			Advise("GET /v1/connectors lists them.")
	}
	if err := k.check(setup.Settings); err != nil {
		return err
	}
	if bound(setup.Use) {
		if err := within("/use", seal.CheckUse(setup.Use)); err != nil {
			return err
		}
		if err := within("/use", k.takes(setup.Use.Inject)); err != nil {
			return err
		}
		if base := setup.Base(); base != "" && broker.Bound(base, setup.Use) != nil {
			return schema.Errorf(schema.CodeInvalid, "the base address is on none of the hosts that the connection is bound to").At("/settings/base_url").
				Advise("Name its host in use.hosts, with the port unless it is that of the scheme.")
		}
	}
	if setup.Lookup != nil {
		if err := s.catalog.action(connector, setup.Lookup.Action, ""); err != nil {
			return within("/lookup/action", err)
		}
	}
	return within("/uncertain", k.settles(setup))
}

func (s *Server) createConnection(ctx context.Context, c *caller, in *createConnection) (*Output[Connection], error) {
	setup := config.Connection{Settings: in.Body.Settings, Lookup: in.Body.Lookup, RotationDays: in.Body.RotationDays}
	if len(setup.Settings) == 0 {
		setup.Settings = json.RawMessage("{}")
	}
	if in.Body.Use != nil {
		setup.Use = *in.Body.Use
	}
	if in.Body.IdempotencyHeader != nil {
		setup.IdempotencyHeader = *in.Body.IdempotencyHeader
	}
	in.Body.set(&setup)
	if err := s.checkSetup(in.Body.Connector, setup); err != nil {
		return nil, err
	}
	now := s.now()
	row := store.Connection{
		ID: schema.NewID(schema.PrefixConnection), Namespace: c.namespace.ID, Name: in.Body.Name, Connector: in.Body.Connector,
		State: rowActive, Scheme: setup.Use.Inject.Scheme, CreatedAt: now, UpdatedAt: now,
	}
	sealed, err := c.cell.sealJSON(place.Connection(c.org, row.ID), setup)
	if err != nil {
		return nil, err
	}
	row.SettingsSealed = sealed
	draft, err := s.audit(c, "connection.create", row.ID, map[string]any{"name": row.Name, "connector": row.Connector, "hosts": setup.Use.Hosts, "uncertain": policyOf(setup)})
	if err != nil {
		return nil, err
	}
	if err := c.cell.Door().CreateConnection(ctx, row, draft); err != nil {
		return nil, err
	}
	return c.showConnection(ctx, row)
}

func (s *Server) updateConnection(ctx context.Context, c *caller, in *updateConnection) (*Output[Connection], error) {
	row, err := c.connection(ctx, in.Connection)
	if err != nil {
		return nil, err
	}
	setup, err := c.setup(row)
	if err != nil {
		return nil, err
	}
	changed := []string{}
	if len(in.Body.Settings) > 0 {
		setup.Settings, changed = in.Body.Settings, append(changed, "settings")
	}
	if in.Body.IdempotencyHeader != nil {
		setup.IdempotencyHeader, changed = *in.Body.IdempotencyHeader, append(changed, "idempotency_header")
	}
	if in.Body.Lookup != nil {
		setup.Lookup, changed = in.Body.Lookup, append(changed, "lookup")
	}
	if in.Body.RotationDays != 0 {
		setup.RotationDays, changed = in.Body.RotationDays, append(changed, "rotation_days")
	}
	changed = append(changed, in.Body.set(&setup)...)
	if in.Body.Use != nil && !reflect.DeepEqual(setup.Use, *in.Body.Use) {
		if err := c.unbound(ctx, row); err != nil {
			return nil, err
		}
		setup.Use, changed = *in.Body.Use, append(changed, "use")
	}
	if in.Body.State != "" {
		row.State, changed = in.Body.State, append(changed, "state")
	}
	if err := s.checkSetup(row.Connector, setup); err != nil {
		return nil, err
	}
	if row.SettingsSealed, err = c.cell.sealJSON(place.Connection(c.org, row.ID), setup); err != nil {
		return nil, err
	}
	row.Scheme, row.UpdatedAt = setup.Use.Inject.Scheme, s.now()
	draft, err := s.audit(c, "connection.update", row.ID, map[string]any{"changed": changed, "state": row.State, "hosts": setup.Use.Hosts, "uncertain": policyOf(setup)})
	if err != nil {
		return nil, err
	}
	if err := c.cell.Door().UpdateConnection(ctx, row, draft); err != nil {
		return nil, err
	}
	return c.showConnection(ctx, row)
}

// policyOf is on the record with each change: who decided, and what.
func policyOf(setup config.Connection) string {
	if setup.Uncertain == nil {
		return config.UncertainAsk
	}
	return setup.Uncertain.Outcome
}

// unbound refuses while a credential is in force: it is sealed together with
// the use it was entered for.
func (c *caller) unbound(ctx context.Context, row store.Connection) error {
	current, err := c.credential(ctx, row)
	if schema.CodeOf(err) == schema.CodeNotFound || (err == nil && current.State == store.CredentialRevoked) {
		return nil
	}
	if err != nil {
		return err
	}
	return schema.Errorf(schema.CodeConflict, "the connection's credential is bound to its use").At("/use").
		Advise("DELETE the credential, change the use, and enter the credential again.")
}

func (s *Server) deleteConnection(ctx context.Context, c *caller, in *ConnectionPath) (*nothing, error) {
	row, err := c.connection(ctx, in.Connection)
	if err != nil {
		return nil, err
	}
	if err := s.revoke(ctx, c, row); err != nil && schema.CodeOf(err) != schema.CodeNotFound {
		return nil, err
	}
	row.State = rowDeleted
	draft, err := s.audit(c, "connection.delete", row.ID, map[string]any{"name": row.Name})
	if err != nil {
		return nil, err
	}
	return nil, c.cell.Door().UpdateConnection(ctx, row, draft)
}

// within puts the pointer of an error below another one.
func within(at string, err error) error {
	if err == nil {
		return nil
	}
	var e *schema.Error
	if errors.As(err, &e) {
		below := *e
		below.Pointer = at + e.Pointer
		return &below
	}
	return err
}
