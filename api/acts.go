package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// engineAct is the permission of a token of the engine: no key can hold it.
const engineAct Permission = "engine:act"

type recordAct struct {
	Body struct {
		Method    string `json:"method" maxLength:"255" pattern:"^[A-Za-z]+$" example:"TerminateWorkflowExecution"`
		Namespace string `json:"namespace" maxLength:"255" doc:"The engine's namespace that was named; empty of refused calls."`
		Workflow  string `json:"workflow" maxLength:"255"`
		Run       string `json:"run" maxLength:"255" doc:"The engine's run."`
		Allowed   bool   `json:"allowed"`
		Count     int64  `json:"count,omitempty" minimum:"1" maximum:"1000000000" default:"1" doc:"How many refused calls alike this is about."`
	}
}

func (s *Server) registerActs() {
	handle(s, huma.Operation{
		OperationID: "record-engine-act", Method: http.MethodPost, Path: "/v1/engine/acts", Tags: []string{"Audit"},
		Summary: "Record what is about to be done with the engine's own tools",
		Description: "The engine asks this before it allows an operator's call, with the operator's token, and allows it only after the " +
			"answer. Calls that it refuses are counted.",
		DefaultStatus: http.StatusNoContent,
	}, access{scope: scopeEngine, permission: engineAct}, s.recordAct)
}

// recordAct writes an act to the caller's own organization's log: its token
// says which that is.
func (s *Server) recordAct(ctx context.Context, c *caller, in *recordAct) (*nothing, error) {
	action := "engine." + in.Body.Method
	if !in.Body.Allowed {
		of := refusal{organization: c.org, actor: c.actor, action: actionRefusedAct, target: in.Body.Method}
		now := s.now()
		s.refusals.add(of, tally{Count: in.Body.Count, First: now, Last: now})
		return nil, nil
	}
	target := in.Body.Workflow
	if target == "" {
		target = c.org
	}
	draft, err := s.audit(c, action, target, map[string]any{"engine_run": in.Body.Run})
	if err != nil {
		return nil, err
	}
	return nil, c.cell.Door().AppendAudit(ctx, draft)
}
