package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// The choices of whoever replays an event.
const (
	effectsSame   = "same"
	versionLatest = "latest"
)

// How is how events are replayed.
type How struct {
	Effects string `json:"effects" enum:"same,new" doc:"same: effects are asked for by the keys of the first run, and what its ledger has as done is not done again. new: they are other effects, and happen again."`
	Version string `json:"version,omitempty" enum:"pinned,latest" default:"pinned" doc:"The flow version that the event was received for, or the newest one."`
}

// Replayed is an event and the one that repeats it, or why none does.
type Replayed struct {
	Event  string      `json:"event"`
	Replay string      `json:"replay,omitempty" doc:"Id of the new event."`
	Code   schema.Code `json:"code,omitempty" doc:"Why it was not replayed."`
	Detail string      `json:"detail,omitempty"`
}

// ReplayPage tells of each event that the filter let pass.
type ReplayPage struct {
	Items []Replayed `json:"items" nullable:"false"`
	Next  string     `json:"next,omitempty" doc:"after of the next call; absent when no event is left."`
}

// ReplayKey makes a repeated request the same one.
type ReplayKey struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"256" doc:"The same key for the same event replays it once, however often it is sent."`
}

type replayMany struct {
	ReplayKey
	Body struct {
		How
		Source string    `json:"source,omitempty" maxLength:"64" doc:"Events of this source only."`
		Flow   string    `json:"flow,omitempty" maxLength:"256" doc:"Events of this flow only, by id or name."`
		From   time.Time `json:"from,omitzero" doc:"Received at this time or later."`
		To     time.Time `json:"to,omitzero" doc:"Received before this time."`
		State  string    `json:"state,omitempty" enum:"completed,failed,canceled" doc:"Events whose run ended so only."`
		Events []string  `json:"events,omitempty" maxItems:"200" nullable:"false" doc:"These events only."`
		After  string    `json:"after,omitempty" maxLength:"64" doc:"next of the call before."`
		Limit  int       `json:"limit,omitempty" minimum:"1" maximum:"200" default:"50" doc:"How many events are looked at."`
	}
}

func (s *Server) registerReplays() {
	tags := []string{"Events"}
	write := access{scope: scopeNamespace, permission: RunsWrite}
	handle(s, huma.Operation{
		OperationID: "replay-event", Method: http.MethodPost, Path: "/v1/events/{event}/replay", Tags: tags,
		Summary: "Replay an event whose run has ended", DefaultStatus: http.StatusAccepted,
		Description: "Keeps a new event with the same payload, and answers when it is on disk.",
	}, write, func(ctx context.Context, c *caller, in *struct {
		Event string `path:"event" maxLength:"64"`
		ReplayKey
		Body How
	},
	) (*Output[Accepted], error) {
		row, err := c.cell.Door().GetEvent(ctx, c.namespace.ID, in.Event)
		if err != nil {
			return nil, c.gone(ctx, in.Event, err)
		}
		id, err := s.replay(ctx, c, row, in.Body, in.IdempotencyKey)
		return answer(Accepted{Event: id}), err
	})
	handle(s, huma.Operation{
		OperationID: "replay-events", Method: http.MethodPost, Path: "/v1/events/replay", Tags: tags,
		Summary:     "Replay events by filter and time range, newest first",
		Description: "Each is kept by itself; the answer tells of each. Send it again with next as after until there is none.",
	}, write, s.replayMany)
}

func (s *Server) replayMany(ctx context.Context, c *caller, in *replayMany) (*Output[ReplayPage], error) {
	b := &in.Body
	filter := store.EventFilter{
		Namespace: c.namespace.ID, Source: b.Source, From: b.From, To: b.To, Events: b.Events,
		Page: store.Page{After: b.After, Limit: b.Limit},
	}
	if b.Flow != "" {
		flow, err := c.cell.Door().GetFlow(ctx, c.namespace.ID, b.Flow)
		if err != nil {
			return nil, err
		}
		filter.Flow = flow.ID
	}
	rows, err := c.cell.Door().FindEvents(ctx, filter)
	if err != nil {
		return nil, err
	}
	page := ReplayPage{Items: []Replayed{}}
	for _, row := range rows {
		if b.State != "" {
			run, err := c.cell.Work().RunOf(ctx, row)
			if schema.CodeOf(err) == schema.CodeNotFound || (err == nil && run.State != b.State) {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		item := Replayed{Event: row.ID}
		if item.Replay, err = s.replay(ctx, c, row, b.How, in.IdempotencyKey); err != nil {
			p := problemOf(ctx, err)
			item.Code, item.Detail = p.Code, p.Detail
			if p.Status >= http.StatusInternalServerError && p.Code != schema.CodeUnavailable {
				return nil, err
			}
		}
		page.Items = append(page.Items, item)
	}
	if len(rows) == b.Limit {
		page.Next = rows[len(rows)-1].ID
	}
	return answer(page), nil
}

// replay keeps a new event with the payload of one whose run has ended: while
// that could still act, two runs could ask for one effect at the same time.
func (s *Server) replay(ctx context.Context, c *caller, of store.Event, how How, key string) (string, error) {
	run, err := c.cell.Work().RunOf(ctx, of)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return "", schema.Errorf(schema.CodeConflict, "the event has no run yet; it will have one")
	}
	if err != nil {
		return "", err
	}
	switch run.State {
	case store.RunCompleted, store.RunFailed, store.RunCanceled:
	case store.RunUncertain:
		return "", schema.Errorf(schema.CodeConflict, "the event's run is uncertain").Advise("Resolve the run, or cancel it, first.")
	default:
		return "", schema.Errorf(schema.CodeConflict, "the event's run has not ended").Advise("Wait for it, or cancel it, first.")
	}
	flow, version, err := c.latest(ctx, of.Flow)
	if err != nil {
		return "", err
	}
	if err := paused(flow); err != nil {
		return "", err
	}
	next := store.Event{
		ID: schema.NewID(schema.PrefixEvent), Namespace: of.Namespace, Source: of.Source, Kind: of.Kind, Flow: of.Flow,
		FlowVersion: of.FlowVersion, Digest: of.Digest, ReceivedAt: s.now(), Origin: of.ID, OrderKey: of.OrderKey,
	}
	if how.Version == versionLatest {
		next.FlowVersion, next.Digest = version.Version, version.Digest
	}
	if next.DedupeKey = next.ID; key != "" {
		next.DedupeKey = dedupe("replay:"+of.ID, key)
	}
	if how.Effects == effectsSame {
		if next.Lineage = of.Lineage; next.Lineage == "" {
			next.Lineage = of.ID
		}
		if next.OrderKey == "" {
			// Replays of one event run one after the other.
			next.OrderKey = next.Lineage
		}
	}
	var payload config.Event
	if err := c.cell.openJSON(place.Event(c.org, of.ID), of.PayloadSealed, &payload); err != nil {
		return "", err
	}
	if next.PayloadSealed, err = c.cell.sealPacked(place.Event(c.org, next.ID), payload); err != nil {
		return "", err
	}
	draft, err := s.audit(c, "event.replay", next.ID, map[string]any{"of": of.ID, "effects": how.Effects, "version": next.FlowVersion})
	if err != nil {
		return "", err
	}
	stored, err := c.cell.Door().ReplayEvent(ctx, next, c.actor, draft)
	if err != nil {
		return "", err
	}
	return stored.ID, s.wake(ctx, c.cell)
}
