package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
)

// Health says that the process answers.
type Health struct {
	Status string `json:"status" enum:"ok"`
}

func (s *Server) registerHealth() {
	handle(s, huma.Operation{
		OperationID: "get-health", Method: http.MethodGet, Path: "/v1/health", Tags: []string{"Health"},
		Summary: "The process answers",
	}, access{scope: scopePublic}, func(context.Context, *caller, *struct{}) (*Output[Health], error) {
		return answer(Health{Status: "ok"}), nil
	})
	handle(s, huma.Operation{
		OperationID: "get-ready", Method: http.MethodGet, Path: "/v1/ready", Tags: []string{"Health"},
		Summary:     "The process can do its work",
		Description: "Answers 503 while the control database cannot be read.",
	}, access{scope: scopePublic}, func(ctx context.Context, _ *caller, _ *struct{}) (*Output[Health], error) {
		if err := s.config.Control.Ping(ctx); err != nil {
			return nil, schema.Errorf(schema.CodeUnavailable, "the control database cannot be read: %w", err)
		}
		return answer(Health{Status: "ok"}), nil
	})
}
