package activities

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tenonhq/tenon/plugins/broker"
	"github.com/tenonhq/tenon/plugins/host"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// maxResponse bounds a response body that a connector may read.
const maxResponse = 4 << 20

// call performs a call task: arguments, connector, output.
func (e *Executor) call(ctx context.Context, s *scope) (task.Record, error) {
	c := s.task.Call
	if err := s.eval("args", s.entered, &c.With, false); err != nil {
		return task.Record{}, err
	}
	rec, ok, err := s.settle(ctx)
	if err != nil || !ok {
		return rec, err
	}
	out, failed, err := e.act(ctx, s, s.batch.Values["args"])
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

// act resolves the connection and runs the action, through the ledger when it
// changes something.
func (e *Executor) act(ctx context.Context, s *scope, args json.RawMessage) (json.RawMessage, *problem, error) {
	c := s.task.Call
	conn, err := e.connection(ctx, s.st.run.Namespace, c.Connection)
	if p := refusal(err); p != nil {
		return nil, p, nil
	} else if err != nil {
		return nil, nil, err
	}
	info, p := e.action(c, conn)
	if p != nil {
		return nil, p, nil
	}
	a := &attempt{e: e, st: s.st, conn: conn, writes: writes(c, info, args), in: host.Invocation{
		Connector: c.Connector, Action: c.Action, Settings: conn.Settings, Input: args,
	}}
	if !a.writes {
		out, err := a.invoke(ctx)
		return a.read(out, err)
	}
	d, err := e.decide(s.st, store.Effect{
		Run: s.st.run.ID, Key: s.req.Effect, Connection: conn.row.ID, Action: c.Connector + "." + c.Action,
		Digest: digest([]byte(c.Connector), []byte(c.Action), []byte(conn.row.ID), args),
	}, conn.IdempotencyHeader != "")
	switch {
	case err != nil:
		return nil, nil, err
	case d.uncertain:
		return nil, nil, e.park(ctx, s.st, d.effect)
	case d.settled != nil:
		return d.settled.Output, d.settled.Problem, nil
	}
	a.effect = d.effect
	out, err := a.invoke(ctx)
	return a.settle(ctx, out, err)
}

// action finds what the connector declares of the action.
func (e *Executor) action(c *flow.Call, conn connection) (sdk.ActionInfo, *problem) {
	m, ok := e.cfg.Connectors.Manifest(c.Connector)
	if !ok {
		return sdk.ActionInfo{}, &problem{Type: flow.TypeConfiguration, Title: "No such connector", Detail: "connector " + c.Connector + " is not installed"}
	}
	if conn.row.ID != "" && conn.row.Connector != c.Connector {
		return sdk.ActionInfo{}, &problem{Type: flow.TypeConfiguration, Title: "The connection is of another connector", Detail: "the connection belongs to connector " + conn.row.Connector}
	}
	i := slices.IndexFunc(m.Actions, func(a sdk.ActionInfo) bool { return a.Name == c.Action })
	if i < 0 {
		return sdk.ActionInfo{}, &problem{Type: flow.TypeConfiguration, Title: "No such action", Detail: "connector " + c.Connector + " has no action " + c.Action}
	}
	return m.Actions[i], nil
}

// writes tells whether the call may change something. A generic HTTP request
// is judged by its method (RFC 9110, 9.2.1).
func writes(c *flow.Call, info sdk.ActionInfo, args json.RawMessage) bool {
	if info.Effect == sdk.EffectRead {
		return false
	}
	if c.Connector != "http" || c.Action != "request" {
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

// attempt is one invocation of a connector's action, with what its requests tell.
type attempt struct {
	e      *Executor
	st     *runState
	conn   connection
	writes bool
	in     host.Invocation
	effect store.Effect

	mu       sync.Mutex
	intended bool
	requests int
	sent     bool // a request that may change something may have left
	answered bool // and every such request had an answer
	status   int
	opened   bool
}

func (a *attempt) invoke(ctx context.Context) (json.RawMessage, error) {
	a.in.Egress = a.egress
	out, err := a.e.cfg.Connectors.Invoke(ctx, a.in)
	if a.opened {
		a.st.mu.Lock()
		a.st.audit = append(a.st.audit, store.AuditDraft{
			Actor: a.st.run.ID, Action: "credential.used", Target: a.conn.row.ID, Namespace: a.st.run.Namespace,
		})
		a.st.mu.Unlock()
	}
	return out, err
}

// egress is the connector's one way out.
func (a *attempt) egress(ctx context.Context, r *sdk.Request) (*sdk.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	call := broker.Call{Connection: a.conn.row.ID, Version: a.conn.row.CredentialVersion, Use: a.conn.Use, MaxBody: maxResponse}
	if a.conn.row.CredentialVersion > 0 {
		call.Opener = opener{a.e, a.conn}
		a.opened = true
	}
	mutating := a.writes && !safe(r.Method)
	if mutating {
		call.IdempotencyHeader, call.IdempotencyKey = a.conn.IdempotencyHeader, a.effect.IdempotencyKey
		if a.requests > 0 {
			call.IdempotencyKey += "-" + strconv.Itoa(a.requests)
		}
		a.requests++
		call.OnSend = func() error {
			if a.intended {
				return nil
			}
			if err := a.e.intend(ctx, a.st, &a.effect); err != nil {
				return err
			}
			a.intended = true
			return nil
		}
	}
	resp, sent, err := a.e.cfg.Broker.Do(ctx, call, r)
	if mutating && sent {
		a.answered = err == nil && (!a.sent || a.answered)
		a.sent = true
		if err == nil {
			a.status = resp.Status
		}
	}
	return resp, err
}

// read turns the end of an action that changes nothing into the step's.
func (a *attempt) read(out json.RawMessage, err error) (json.RawMessage, *problem, error) {
	var f *sdk.Fault
	switch {
	case err == nil:
		return out, nil, nil
	case errors.As(err, &f):
		p := fromConnector(f)
		return nil, &p, nil
	}
	if p := refusal(err); p != nil {
		return nil, p, nil
	}
	return nil, nil, err
}

// settle turns the end of an action that changes something into the step's,
// and its effect's state.
func (a *attempt) settle(ctx context.Context, out json.RawMessage, err error) (json.RawMessage, *problem, error) {
	if a.stopped(err) {
		return nil, nil, errStopped
	}
	if err == nil {
		if !a.intended {
			return out, nil, nil // The action found nothing to change.
		}
		return out, nil, a.e.settleEffect(a.st, a.effect, store.EffectDone, outcome{Output: out})
	}
	if a.sent && !a.known() {
		if a.conn.IdempotencyHeader == "" {
			return nil, nil, a.e.park(ctx, a.st, a.effect)
		}
		// The engine asks again, and the same key is sent again.
		return nil, nil, schema.Errorf(schema.CodeUnavailable, "it is not known yet whether effect %s happened; it is repeated with its key", a.effect.ID)
	}
	_, p, err := a.read(nil, err)
	if err != nil || !a.intended {
		return nil, p, err
	}
	return nil, p, a.e.settleEffect(a.st, a.effect, store.EffectFailed, outcome{Problem: p})
}

// known tells whether a failed action is known not to have had its effect: the
// target answered, and refused. An answer of 5xx proves nothing of a target
// that knows no keys.
func (a *attempt) known() bool {
	if !a.answered {
		return false
	}
	return a.status >= 400 && a.status < 500 || a.conn.IdempotencyHeader != "" && a.status >= 500
}

func (a *attempt) stopped(err error) bool {
	return errors.Is(err, errStopped) || a.fenced()
}

func (a *attempt) fenced() bool {
	a.e.mu.Lock()
	defer a.e.mu.Unlock()
	st, ok := a.e.runs[a.st.run.ID]
	return !ok || st != a.st
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
	case schema.CodeTooLarge:
		return &problem{Type: flow.TypeRuntime, Title: "Too large", Detail: se.Message}
	}
	return nil
}
