package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// Event is one inbound message, kept in the cell's inbox.
type Event struct {
	ID         string    `json:"id"`
	Kind       string    `json:"kind" enum:"webhook,call,schedule"`
	Source     string    `json:"source,omitempty" doc:"Id of the source of a webhook, or of a schedule."`
	Flow       string    `json:"flow"`
	Version    int       `json:"version"`
	ReceivedAt time.Time `json:"received_at"`
	Origin     string    `json:"origin,omitempty" doc:"The event that this one replays."`
}

// EventDetail is an event with what it carried.
type EventDetail struct {
	Event
	Body        json.RawMessage   `json:"body" doc:"The raw input of its run."`
	Encoding    string            `json:"encoding,omitempty" doc:"base64 when the body was neither JSON nor text."`
	Headers     map[string]string `json:"headers,omitempty"`
	Due         *time.Time        `json:"due,omitempty" doc:"The time that a schedule fired for."`
	ContentType string            `json:"content_type,omitempty"`
}

func showEvent(e store.Event) Event {
	shown := Event{ID: e.ID, Kind: e.Kind, Source: e.Source, Flow: e.Flow, Version: e.FlowVersion, ReceivedAt: e.ReceivedAt, Origin: e.Origin}
	if e.Kind == config.KindCall {
		shown.Source = ""
	}
	return shown
}

func (s *Server) registerEvents() {
	s.registerReplays()
	s.registerDeadLetters()
	tags := []string{"Events"}
	read := access{scope: scopeNamespace, permission: EventsRead}
	handle(s, huma.Operation{
		OperationID: "list-events", Method: http.MethodGet, Path: "/v1/events", Tags: tags, Summary: "List events, newest first",
	}, read, func(ctx context.Context, c *caller, in *Paging) (*Output[List[Event]], error) {
		rows, err := c.cell.Door().ListEvents(ctx, c.namespace.ID, in.store())
		if err != nil {
			return nil, err
		}
		return answer(listed(rows, in.Limit, showEvent, func(e store.Event) string { return e.ID })), nil
	})
	handle(s, huma.Operation{
		OperationID: "get-event", Method: http.MethodGet, Path: "/v1/events/{event}", Tags: tags, Summary: "Show an event with its payload",
	}, read, func(ctx context.Context, c *caller, in *struct {
		Event string `path:"event" maxLength:"64"`
	},
	) (*Output[EventDetail], error) {
		row, err := c.cell.Door().GetEvent(ctx, c.namespace.ID, in.Event)
		if err != nil {
			return nil, c.gone(ctx, in.Event, err)
		}
		var payload config.Event
		if err := c.cell.openJSON(place.Event(c.org, row.ID), row.PayloadSealed, &payload); err != nil {
			return nil, err
		}
		shown := EventDetail{
			Event: showEvent(row), Body: payload.Input(), Encoding: payload.Encoding,
			Headers: payload.Headers, ContentType: payload.ContentType,
		}
		if !payload.Due.IsZero() {
			shown.Due = &payload.Due
		}
		return answer(shown), nil
	})
}
