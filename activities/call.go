package activities

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/tenonhq/tenon/plugins/host"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// maxResponse bounds a response body that a connector may read.
const maxResponse = 4 << 20

// call performs a call task: arguments, connector, output.
func (e *Executor) call(ctx context.Context, s *scope) (task.Record, error) {
	c := s.task.Call
	conn := e.readEarly(ctx, s.st.run.Namespace, c.Connection)
	if err := s.opening(); err != nil {
		return task.Record{}, err
	}
	rec, ok, err := s.settle(ctx)
	if err != nil || !ok {
		return rec, err
	}
	out, failed, err := e.act(ctx, s, conn, s.batch.Values[valueArgs])
	if err != nil {
		return task.Record{}, err
	}
	if failed != nil {
		return faulted(s.req, *failed), nil
	}
	s.batch.Values[valueBody] = out
	if err := s.leave(valueBody, s.task.Output, s.task.Export); err != nil {
		return task.Record{}, err
	}
	rec, _, err = s.settle(ctx)
	return rec, err
}

// act runs the action over the connection, through the ledger when it changes
// something.
func (e *Executor) act(ctx context.Context, s *scope, over *early, args json.RawMessage) (json.RawMessage, *problem, error) {
	c := s.task.Call
	if err := e.going(ctx, s.st.run.Flow); err != nil {
		return nil, nil, err
	}
	conn, err := over.take(ctx)
	if p := refusal(err); p != nil {
		return nil, p, nil
	} else if err != nil {
		return nil, nil, err
	}
	info, p := e.action(c.Connector, c.Action, conn)
	if p != nil {
		return nil, p, nil
	}
	a := &attempt{e: e, st: s.st, conn: conn, in: host.Invocation{
		Connector: c.Connector, Action: c.Action, Settings: conn.Settings, Input: args,
	}}
	if !writes(c.Connector, info, args) {
		a.safeOnly = info.Effect != sdk.EffectRead
		leave, p, err := e.turn(ctx, s, a)
		if p != nil || err != nil {
			return nil, p, err
		}
		defer leave()
		out, err := a.invoke(ctx)
		if l := s.refused(a, err); l != nil {
			return nil, nil, l
		}
		return a.read(out, err)
	}
	// The connector knows whether its action can be keyed, the connection
	// whether the system behind it honours keys.
	can := means{keyed: conn.IdempotencyHeader != "" && info.Idempotency != sdk.IdempotencyNone, lookup: conn.Lookup != nil}
	if conn.policy() == config.UncertainRepeat {
		can.keyed, can.harmless = true, true
	}
	return e.effect(ctx, s, a, can)
}

// effect performs an action that changes something, by the ledger.
func (e *Executor) effect(ctx context.Context, s *scope, a *attempt, can means) (json.RawMessage, *problem, error) {
	key := lane(s.st.run.ID, s.req.Effect)
	leave, err := e.lanes.enter(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	if err := e.inherit(s.st, key); err != nil {
		return nil, nil, err
	}
	d, err := e.decide(s.st, s.req.Key, store.Effect{
		Run: s.st.run.ID, Key: s.req.Effect, Connection: a.conn.row.ID, Action: a.in.Connector + "." + a.in.Action,
		Digest:    schema.Digest([]byte(a.in.Connector), []byte(a.in.Action), []byte(a.conn.row.ID), a.in.Input),
		CreatedAt: s.started,
	}, can)
	switch {
	case err != nil:
		return nil, nil, err
	case d.other:
		return nil, nil, e.park(ctx, s.st, d.effect)
	case d.uncertain:
		return e.unknown(ctx, s.st, a.conn, d.effect)
	case d.settled != nil:
		return d.settled.Output, d.settled.Problem, nil
	}
	a.before = d.begun
	done, p, err := e.turn(ctx, s, a)
	switch {
	case d.begun && p != nil && !can.keyed:
		return e.unknown(ctx, s.st, a.conn, d.effect)
	case d.begun && err != nil:
		s.excuse()
		return nil, nil, err
	case p != nil || err != nil:
		return nil, p, err
	}
	defer done()
	if d.begun && !can.keyed {
		found, p, err := e.lookup(ctx, s, a, d.effect)
		if p != nil || err != nil || found != nil {
			return found, p, err
		}
		d.begun = false // Proven absent.
	}
	a.writes, a.effect, a.can, a.begun, a.lane = true, d.effect, can, d.begun, key
	out, err := a.invoke(ctx)
	return a.settle(ctx, s, out, err)
}

// action finds what the connector declares of the action.
func (e *Executor) action(connector, action string, conn connection) (sdk.ActionInfo, *problem) {
	m, ok := e.cfg.Connectors.Manifest(connector)
	if !ok {
		return sdk.ActionInfo{}, &problem{Type: flow.TypeConfiguration, Title: "No such connector", Detail: "connector " + connector + " is not installed"}
	}
	if conn.row.ID != "" && conn.row.Connector != connector {
		return sdk.ActionInfo{}, &problem{Type: flow.TypeConfiguration, Title: "The connection is of another connector", Detail: "the connection belongs to connector " + conn.row.Connector}
	}
	i := slices.IndexFunc(m.Actions, func(a sdk.ActionInfo) bool { return a.Name == action })
	if i < 0 {
		return sdk.ActionInfo{}, &problem{Type: flow.TypeConfiguration, Title: "No such action", Detail: "connector " + connector + " has no action " + action}
	}
	return m.Actions[i], nil
}

// writes tells whether the call may change something. A generic HTTP request
// is judged by its method (RFC 9110, 9.2.1).
func writes(connector string, info sdk.ActionInfo, args json.RawMessage) bool {
	if info.Effect == sdk.EffectRead {
		return false
	}
	if connector != "http" || info.Name != "request" {
		return true
	}
	var a struct {
		Method string `json:"method"`
	}
	return json.Unmarshal(args, &a) != nil || !safe(a.Method)
}

func safe(method string) bool {
	switch strings.ToUpper(method) {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	return false
}

// refusal turns an error that no repetition mends into the run's own.
func refusal(err error) *problem {
	if err == nil {
		return nil
	}
	var se *schema.Error
	if !errors.As(err, &se) {
		return nil
	}
	switch se.Code { //nolint:exhaustive // The others are the infrastructure's.
	case schema.CodeNotFound, schema.CodeInvalid, schema.CodeConflict:
		return &problem{Type: flow.TypeConfiguration, Title: "The call is not set up", Detail: se.Message}
	case schema.CodeRefused, schema.CodeForbidden:
		return &problem{Type: flow.TypeAuthorization, Title: "The call was refused", Detail: se.Message}
	case schema.CodeTimeout:
		return &problem{Type: flow.TypeTimeout, Title: "The call took too long", Detail: se.Message}
	case schema.CodeTooLarge:
		return &problem{Type: flow.TypeRuntime, Title: "Too large", Detail: se.Message}
	}
	return nil
}
