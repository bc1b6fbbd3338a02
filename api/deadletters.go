package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// DeadLetter is an event whose run failed or could not start, and about which
// nobody has done anything yet.
type DeadLetter struct {
	Event    string          `json:"event"`
	Run      string          `json:"run"`
	Flow     string          `json:"flow"`
	Version  int             `json:"version"`
	Reason   json.RawMessage `json:"reason" doc:"The error that the run ended with, an error object of the specification."`
	FailedAt time.Time       `json:"failed_at"`
}

func (s *Server) registerDeadLetters() {
	tags := []string{"Events"}
	handle(s, huma.Operation{
		OperationID: "list-dead-letters", Method: http.MethodGet, Path: "/v1/dead-letters", Tags: tags,
		Summary:     "List events whose run failed, newest first",
		Description: "Those that were replayed or discarded are not listed. A page may hold fewer than asked for; the last one has no next.",
	}, access{scope: scopeNamespace, permission: EventsRead}, func(ctx context.Context, c *caller, in *Paging) (*Output[List[DeadLetter]], error) {
		runs, err := c.cell.Work().ListRuns(ctx, store.RunFilter{Namespace: c.namespace.ID, State: store.RunFailed, Page: in.store()})
		if err != nil {
			return nil, err
		}
		events := make([]string, len(runs))
		for i, run := range runs {
			events[i] = run.Event
		}
		disposed, err := c.cell.Door().Disposed(ctx, events)
		if err != nil {
			return nil, err
		}
		page := List[DeadLetter]{Items: []DeadLetter{}}
		for _, run := range runs {
			if disposed[run.Event] != "" {
				continue
			}
			letter, err := c.letter(run)
			if err != nil {
				return nil, err
			}
			page.Items = append(page.Items, letter)
		}
		if len(runs) == in.Limit {
			page.Next = runs[len(runs)-1].ID
		}
		return answer(page), nil
	})
	handle(s, huma.Operation{
		OperationID: "discard-dead-letter", Method: http.MethodPost, Path: "/v1/dead-letters/{event}/discard", Tags: tags,
		Summary: "Do nothing more about an event whose run failed", DefaultStatus: http.StatusNoContent,
		Description: "The event and its run stay as they are. To do it again, replay the event.",
	}, access{scope: scopeNamespace, permission: RunsWrite}, s.discard)
}

func (c *caller) letter(run store.Run) (DeadLetter, error) {
	letter := DeadLetter{Event: run.Event, Run: run.ID, Flow: run.Flow, Version: run.FlowVersion, Reason: json.RawMessage("null")}
	if run.EndedAt != nil {
		letter.FailedAt = *run.EndedAt
	}
	if len(run.ResultSealed) == 0 {
		return letter, nil
	}
	var result config.Result
	if err := c.cell.openJSON(place.Run(c.org, run.ID), run.ResultSealed, &result); err != nil {
		return letter, err
	}
	if len(result.Error) > 0 {
		letter.Reason = result.Error
	}
	return letter, nil
}

func (s *Server) discard(ctx context.Context, c *caller, in *struct {
	Event string `path:"event" maxLength:"64"`
	Body  struct {
		Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Why; kept with the audit entry."`
	}
},
) (*nothing, error) {
	event, err := c.cell.Door().GetEvent(ctx, c.namespace.ID, in.Event)
	if err != nil {
		return nil, c.gone(ctx, in.Event, err)
	}
	run, err := c.cell.Work().RunOf(ctx, event)
	if schema.CodeOf(err) == schema.CodeNotFound || (err == nil && run.State != store.RunFailed) {
		return nil, schema.Errorf(schema.CodeConflict, "the event's run has not failed")
	}
	if err != nil {
		return nil, err
	}
	draft, err := s.audit(c, "event.discard", event.ID, map[string]any{"run": run.ID, "reason": in.Body.Reason})
	if err != nil {
		return nil, err
	}
	return nil, c.cell.Door().Discard(ctx, store.Disposition{Event: event.ID, By: c.actor, At: s.now()}, draft)
}
