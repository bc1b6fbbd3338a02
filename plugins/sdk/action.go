package sdk

import (
	"context"
	"encoding/json"
	"errors"
)

// Connector is a manifest with what implements it. The keys of Actions are the
// names of the manifest's actions.
type Connector struct {
	Manifest Manifest
	Actions  map[string]Action
}

// Action runs one action. What it returns is marshalled to JSON and is the
// action's output; an error that is a [*Fault] reaches the flow as it is, any
// other as a fault of type "runtime". It must return soon after ctx is done:
// the host ends the process of an action that does not. Actions run
// concurrently.
type Action func(ctx context.Context, call *Call) (any, error)

// Call is one run of an action.
type Call struct {
	// Settings are the connection's, valid by the manifest's schema; JSON null
	// when there is no connection.
	Settings json.RawMessage
	// Input is the action's input.
	Input json.RawMessage

	egress func(context.Context, *Request) (*Response, error)
}

// NewCall makes a call whose requests go to egress: for tests of actions.
func NewCall(settings, input json.RawMessage, egress func(context.Context, *Request) (*Response, error)) *Call {
	return &Call{Settings: settings, Input: input, egress: egress}
}

// HTTP sends a request through the host: the connector's one way out. The host
// adds the connection's credential and refuses hosts that the connection is not
// bound to. It follows no redirects. An answer of any status is a response, not
// an error; an error is a [*Fault] (refused, unreachable, too slow, too large),
// which an action may return as it is.
func (c *Call) HTTP(ctx context.Context, r *Request) (*Response, error) {
	if c.egress == nil {
		return nil, errors.New("this call has no way out")
	}
	return c.egress(ctx, r)
}

// Request is an HTTP request. It carries no credential: the host adds it.
type Request struct {
	Method string
	// URL is absolute.
	URL    string
	Header map[string][]string
	Body   []byte
}

// Response is an HTTP response, with the credential taken out of it.
type Response struct {
	Status int
	Header map[string][]string
	Body   []byte
}
