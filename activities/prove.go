package activities

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/tenonhq/tenon/plugins/host"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

// Prove makes the test call of the connection's connector with one version of
// its credential, current or not, whatever the connection's state. Nil means
// that the system took the credential.
//
// Errors are *schema.Error: CodeRefused when the system or the cell refuses the
// credential; CodeUnavailable or CodeTimeout when the system could not be
// asked, so that nothing is known; CodeInvalid when the connector has no test
// call, or the connection is not set up for it; CodeNotFound when there is no
// such connection or version. None quotes a value or the system's reply.
func (e *Executor) Prove(ctx context.Context, namespace, id string, version int) error {
	row, err := e.cfg.Cell.Door().GetConnection(ctx, namespace, id)
	if err != nil {
		return err
	}
	if row.State == store.ConnectionDeleted {
		return schema.Errorf(schema.CodeNotFound, "there is no such connection")
	}
	conn, err := e.setup(row)
	if err != nil {
		return err
	}
	manifest, ok := e.cfg.Connectors.Manifest(row.Connector)
	if !ok || !slices.ContainsFunc(manifest.Actions, func(i sdk.ActionInfo) bool { return i.Name == manifest.Test && i.Effect == sdk.EffectRead }) {
		return schema.Errorf(schema.CodeInvalid, "connector %s has no test call", row.Connector)
	}
	a := &attempt{e: e, conn: conn, version: version, safeOnly: true, in: host.Invocation{
		Connector: row.Connector, Action: manifest.Test, Settings: conn.Settings, Input: json.RawMessage("{}"),
	}}
	_, err = a.invoke(ctx)
	return a.proof(err)
}

// proof turns the end of a test call into what it shows. The connector's word
// alone shows nothing (invariant 4): a request with the credential must have
// been answered with success, and none with a refusal.
func (a *attempt) proof(err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	refused := slices.ContainsFunc(a.statuses, func(s int) bool {
		return s == http.StatusUnauthorized || s == http.StatusForbidden || s == http.StatusProxyAuthRequired
	})
	taken := slices.ContainsFunc(a.statuses, func(s int) bool { return s >= 200 && s <= 299 })
	var known *schema.Error
	var fault *sdk.Fault
	switch {
	case a.denied != nil:
		return a.denied // What the cell or its broker said, not the connector's version of it.
	case refused:
		return schema.Errorf(schema.CodeRefused, "the system refused the credential of connection %s", a.conn.row.ID).
			Advise("Look at its rights there, and enter it again.")
	case err == nil && taken:
		return nil
	case errors.As(err, &fault) && fault.Type == sdk.FaultConfiguration:
		return schema.Errorf(schema.CodeInvalid, "the connection is not set up for a test call: %s", fault.Title)
	case errors.As(err, &fault), err == nil:
		return schema.Errorf(schema.CodeUnavailable, "the test call of connection %s does not show whether the credential works", a.conn.row.ID).
			Advise("Have the connection's test address answer 200 to a valid credential.")
	case errors.As(err, &known):
		return known
	}
	return schema.Errorf(schema.CodeUnavailable, "the test call of connection %s could not be made: %w", a.conn.row.ID, err)
}
