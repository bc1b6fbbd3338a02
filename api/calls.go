package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
)

type startRun struct {
	FlowPath
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"256" doc:"The same key for the same flow starts one run, however often it is sent."`
	Body           struct {
		Input json.RawMessage `json:"input,omitempty" doc:"Raw input of the run; null when absent."`
	}
}

func (s *Server) registerCalls() {
	handle(s, huma.Operation{
		OperationID: "start-run", Method: http.MethodPost, Path: "/v1/flows/{flow}/runs", Tags: []string{"Runs"},
		Summary: "Start a run of a flow's newest version",
		Description: "Answers when the event is on disk. The event tells which run it became. A key of a call whose event was removed at the " +
			"end of the namespace's retention is answered 410, and starts nothing.",
		DefaultStatus: http.StatusAccepted,
	}, access{scope: scopeNamespace, permission: RunsWrite}, s.startRun)
}

func (s *Server) startRun(ctx context.Context, c *caller, in *startRun) (*Output[Accepted], error) {
	flow, version, err := c.latest(ctx, in.Flow)
	if err != nil {
		return nil, err
	}
	payload := config.Event{Body: in.Body.Input, ContentType: "application/json"}
	payload.Body = payload.Input()
	id, repeated, err := s.accept(ctx, c, &inbound{
		kind: config.KindCall, source: flow.ID, dedupe: in.IdempotencyKey, flow: flow, digest: version.Digest, payload: payload,
	})
	if err != nil {
		return nil, err
	}
	if repeated != nil {
		if repeated.Seq == 0 {
			// It is not made twice; whether it is the same call nobody can tell.
			return nil, schema.Errorf(schema.CodeGone, "the Idempotency-Key was used for a call that was made, and whose event was removed at the end of the namespace's retention").
				Advise("Use a new key for a new call.")
		}
		var first config.Event
		if err := c.cell.openJSON(place.Event(c.org, repeated.ID), repeated.PayloadSealed, &first); err != nil {
			return nil, err
		}
		if !sameJSON(first.Input(), payload.Input()) {
			return nil, schema.Errorf(schema.CodeConflict, "the Idempotency-Key was used for another input").
				Advise("Use a new key for a new call.")
		}
	}
	return answer(Accepted{Event: id}), nil
}

// sameJSON compares two values regardless of white space.
func sameJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
