package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

type updateFlow struct {
	FlowPath
	Body struct {
		State   string `json:"state,omitempty" enum:"active,paused"`
		MaxRuns *int   `json:"max_concurrent_runs,omitempty" minimum:"0" maximum:"100000" doc:"At most so many of its runs go on at a time, those that wait included; the others begin as these end, in their order. 0: as many as the flow's share of the cell."`
	}
}

type updateSource struct {
	Source string `path:"source" maxLength:"64"`
	Body   struct {
		State string `json:"state" enum:"active,suspended"`
	}
}

func (s *Server) registerPauses() {
	handle(s, huma.Operation{
		OperationID: "update-flow", Method: http.MethodPatch, Path: "/v1/flows/{flow}", Tags: []string{"Flows"},
		Summary: "Pause a flow, let it go on, or limit its runs",
		Description: "A paused flow takes no event, and its runs stop before their next call; they go on when it is active again. " +
			"A new version changes neither the pause nor the limit.",
	}, access{scope: scopeNamespace, permission: FlowsWrite}, s.updateFlow)
	handle(s, huma.Operation{
		OperationID: "update-source", Method: http.MethodPatch, Path: "/v1/sources/{source}", Tags: []string{"Sources"},
		Summary:     "Suspend a webhook source, or take its messages again",
		Description: "A suspended source answers what it verifies with 503, and keeps nothing.",
	}, access{scope: scopeNamespace, permission: SourcesWrite}, func(ctx context.Context, c *caller, in *updateSource) (*Output[Source], error) {
		row, err := c.source(ctx, in.Source)
		if err != nil {
			return nil, err
		}
		action := "source.resume"
		if in.Body.State == store.SourceSuspended {
			action = "source.suspend"
		}
		draft, err := s.audit(c, action, row.ID, map[string]any{"name": row.Name})
		if err != nil {
			return nil, err
		}
		if err := c.cell.Door().SetSourceState(ctx, row.Namespace, row.ID, in.Body.State, draft); err != nil {
			return nil, err
		}
		row.State = in.Body.State
		shown, err := c.showSource(row)
		return answer(shown), err
	})
}

func (s *Server) updateFlow(ctx context.Context, c *caller, in *updateFlow) (*Output[Flow], error) {
	row, err := c.cell.Door().GetFlow(ctx, c.namespace.ID, in.Flow)
	if err != nil {
		return nil, err
	}
	var drafts []store.AuditDraft
	record := func(action string, detail map[string]any) error {
		detail["name"] = row.Name
		draft, err := s.audit(c, action, row.ID, detail)
		drafts = append(drafts, draft)
		return err
	}
	if state := in.Body.State; state != "" {
		action := "flow.resume"
		if state == store.FlowPaused {
			action = "flow.pause"
		}
		if err := record(action, map[string]any{}); err != nil {
			return nil, err
		}
		row.State = state
	}
	if most := in.Body.MaxRuns; most != nil {
		if err := record("flow.limit", map[string]any{"max_concurrent_runs": *most}); err != nil {
			return nil, err
		}
		row.MaxRuns = *most
	}
	if len(drafts) == 0 {
		return nil, schema.Errorf(schema.CodeInvalid, "there is nothing to change").Advise("Send state, max_concurrent_runs, or both.")
	}
	err = c.cell.Door().ChangeFlow(ctx, row.Namespace, row.ID, store.FlowChange{State: in.Body.State, MaxRuns: in.Body.MaxRuns}, drafts...)
	if err != nil {
		return nil, err
	}
	if err := s.wake(ctx, c.cell); err != nil {
		return nil, err
	}
	return answer(showFlow(row)), nil
}

// paused refuses what would begin something for a paused flow: nothing is kept.
func paused(f store.Flow) error {
	if f.State != store.FlowPaused {
		return nil
	}
	return schema.Errorf(schema.CodeUnavailable, "the flow is paused; nothing was kept").
		Advise("Send it again when the flow is active: PATCH /v1/flows/{flow} with state active.")
}
