package host

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/tenonhq/tenon/plugins/internal/wire"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
)

// Egress is the connector's one way out (Invariant 4). Errors that are a
// [*sdk.Fault], or a [*schema.Error] about the request or its target (invalid,
// refused, too_large, unavailable, timeout, rate_limited) are told to the
// connector as a fault; any other, and what [Abort] marks, ends the action with
// that error.
type Egress func(ctx context.Context, r *sdk.Request) (*sdk.Response, error)

// exit answers the requests of one run.
type exit struct {
	egress Egress
	abort  context.CancelCauseFunc
}

// Abort marks an error of [Egress] as the host's own, such as a ledger that cannot
// be written: Invoke returns err, whatever its code, and the connector is told
// nothing of it.
func Abort(err error) error { return &aborted{err: err} }

// aborted ends a run with an error of the host's own.
type aborted struct{ err error }

func (a *aborted) Error() string { return a.err.Error() }

func (a *aborted) Unwrap() error { return a.err }

func (e *exit) answer(ctx context.Context, ask *wire.Ask) *wire.Reply {
	if e.egress == nil {
		return refusal(&sdk.Fault{Type: sdk.FaultAuthorization, Title: "This action has no way out"})
	}
	resp, err := e.egress(ctx, &sdk.Request{
		Method: ask.GetMethod(), URL: ask.GetUrl(), Header: wire.ToHeader(ask.GetHeader()), Body: ask.GetBody(),
	})
	if err != nil {
		f, ok := toFault(err)
		if !ok && ctx.Err() == nil { // Else the run has ended anyway, for a better reason.
			own := (*aborted)(nil)
			if !errors.As(err, &own) {
				own = &aborted{err: err}
			}
			e.abort(own)
		}
		if !ok {
			f = &sdk.Fault{Type: sdk.FaultRuntime, Title: "The run was stopped"}
		}
		return refusal(f)
	}
	if len(resp.Body) > wire.MaxMessage {
		return refusal(&sdk.Fault{Type: sdk.FaultCommunication, Title: "The response is too large"})
	}
	return &wire.Reply{Result: &wire.Reply_Response{Response: &wire.Response{
		Status: int32(resp.Status), Header: wire.FromHeader(resp.Header), Body: resp.Body,
	}}}
}

func refusal(f *sdk.Fault) *wire.Reply {
	return &wire.Reply{Result: &wire.Reply_Fault{Fault: &wire.Fault{
		Type: f.Type, Status: int32(f.Status), Title: clean(f.Title, maxTitle), Detail: clean(f.Detail, maxDetail),
	}}}
}

// toFault tells the connector what became of its request, in words that are
// meant for a caller.
func toFault(err error) (*sdk.Fault, bool) {
	if own := (*aborted)(nil); errors.As(err, &own) {
		return nil, false
	}
	if f := (*sdk.Fault)(nil); errors.As(err, &f) {
		return f, true
	}
	e := (*schema.Error)(nil)
	if !errors.As(err, &e) {
		return nil, false
	}
	f := &sdk.Fault{Detail: e.Message}
	switch e.Code {
	case schema.CodeRefused, schema.CodeForbidden:
		f.Type, f.Title = sdk.FaultAuthorization, "The request was refused"
	case schema.CodeInvalid:
		f.Type, f.Title = sdk.FaultConfiguration, "The request is not valid"
	case schema.CodeUnavailable:
		f.Type, f.Title = sdk.FaultCommunication, "The system could not be reached"
	case schema.CodeTooLarge:
		f.Type, f.Title = sdk.FaultCommunication, "The response is too large"
	case schema.CodeRateLimited:
		f.Type, f.Title, f.Status = sdk.FaultCommunication, "Too many requests", 429
	case schema.CodeTimeout:
		f.Type, f.Title = sdk.FaultTimeout, "The system did not answer in time"
	case schema.CodeUnauthenticated, schema.CodeNotFound, schema.CodeConflict, schema.CodeFenced, schema.CodeUncertain, schema.CodeInternal:
		return nil, false
	default:
		return nil, false
	}
	return f, true
}

const (
	maxTitle  = 200
	maxDetail = 2000
)

// tame makes a stranger's fault presentable: a known type, a status that is one,
// text without controls (Invariant 9).
func tame(f *wire.Fault) *sdk.Fault {
	out := &sdk.Fault{
		Type: f.GetType(), Status: int(f.GetStatus()), Title: clean(f.GetTitle(), maxTitle), Detail: clean(f.GetDetail(), maxDetail),
	}
	if !slices.Contains(faultTypes, out.Type) {
		out.Type = sdk.FaultRuntime
	}
	if out.Status < 100 || out.Status > 599 {
		out.Status = 0
	}
	if out.Title == "" {
		out.Title = "The action failed"
	}
	return out
}

var faultTypes = []string{
	sdk.FaultConfiguration, sdk.FaultValidation, sdk.FaultAuthentication, sdk.FaultAuthorization,
	sdk.FaultTimeout, sdk.FaultCommunication, sdk.FaultRuntime,
}

// verified takes a stranger's output only when it is JSON of a bearable size.
func verified(output []byte) (json.RawMessage, error) {
	if len(output) > wire.MaxMessage {
		return nil, &sdk.Fault{Type: sdk.FaultRuntime, Title: "The action's output is too large"}
	}
	if !json.Valid(output) {
		return nil, &sdk.Fault{Type: sdk.FaultRuntime, Title: "The action's output is no JSON"}
	}
	return output, nil
}

// unresponsive keeps of an error only that the action did not end.
func unresponsive(err error) error {
	if errors.Is(err, wire.ErrUnresponsive) {
		return err
	}
	return nil
}
