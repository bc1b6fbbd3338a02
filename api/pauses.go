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
		State string `json:"state" enum:"active,paused"`
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
		Summary: "Pause a flow, or let it go on",
		Description: "A paused flow takes no event, and its runs stop before their next call; they go on when it is active again. " +
			"A new version does not end the pause.",
	}, access{scope: scopeNamespace, permission: FlowsWrite}, func(ctx context.Context, c *caller, in *updateFlow) (*Output[Flow], error) {
		row, err := c.cell.Door().GetFlow(ctx, c.namespace.ID, in.Flow)
		if err != nil {
			return nil, err
		}
		action := "flow.resume"
		if in.Body.State == store.FlowPaused {
			action = "flow.pause"
		}
		draft, err := s.audit(c, action, row.ID, map[string]any{"name": row.Name})
		if err != nil {
			return nil, err
		}
		if err := c.cell.Door().SetFlowState(ctx, row.Namespace, row.ID, in.Body.State, draft); err != nil {
			return nil, err
		}
		row.State = in.Body.State
		if err := s.wake(ctx, c.cell); err != nil {
			return nil, err
		}
		return answer(showFlow(row)), nil
	})
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

// paused refuses what would begin something for a paused flow: nothing is kept.
func paused(f store.Flow) error {
	if f.State != store.FlowPaused {
		return nil
	}
	return schema.Errorf(schema.CodeUnavailable, "the flow is paused; nothing was kept").
		Advise("Send it again when the flow is active: PATCH /v1/flows/{flow} with state active.")
}
