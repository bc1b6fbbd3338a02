package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

// Namespace is an environment inside an organization.
type Namespace struct {
	ID            string     `json:"id"`
	Name          string     `json:"name"`
	CreatedAt     time.Time  `json:"created_at"`
	RetentionDays int        `json:"retention_days" doc:"Days after the end of a run after which its event, with the payload, its steps, effects and result are removed; 0 for never, the default."`
	RetentionFrom *time.Time `json:"retention_from,omitempty" doc:"Nothing is removed before this: a day after a retention was set or shortened."`
}

func showNamespace(n store.Namespace) Namespace {
	return Namespace{ID: n.ID, Name: n.Name, CreatedAt: n.CreatedAt, RetentionDays: n.RetentionDays, RetentionFrom: n.RetentionFrom}
}

type createNamespace struct {
	Body struct {
		Name          string `json:"name" pattern:"^[a-z][a-z0-9-]{0,62}$" patternDescription:"lower-case letters, digits and hyphens" example:"prod"`
		RetentionDays int    `json:"retention_days,omitempty" minimum:"0" maximum:"3650" default:"0" doc:"Days after the end of a run after which what it left is removed; 0 for never."`
	}
}

func (s *Server) registerNamespaces() {
	tags := []string{"Namespaces"}
	handle(s, huma.Operation{
		OperationID: "create-namespace", Method: http.MethodPost, Path: "/v1/namespaces", Tags: tags,
		Summary: "Create a namespace", DefaultStatus: http.StatusCreated,
	}, access{scope: scopeOrganization, permission: NamespacesWrite}, s.createNamespace)
	handle(s, huma.Operation{
		OperationID: "list-namespaces", Method: http.MethodGet, Path: "/v1/namespaces", Tags: tags,
		Summary: "List namespaces", Description: "A key that is bound to a namespace sees that one.",
	}, access{scope: scopeOrganization, permission: NamespacesRead}, func(ctx context.Context, c *caller, _ *struct{}) (*Output[List[Namespace]], error) {
		rows, err := c.cell.Door().ListNamespaces(ctx)
		if err != nil {
			return nil, err
		}
		page := List[Namespace]{Items: []Namespace{}}
		for _, row := range rows {
			if c.bound == "" || row.ID == c.bound {
				page.Items = append(page.Items, showNamespace(row))
			}
		}
		return answer(page), nil
	})
	s.registerRetention()
}

func (s *Server) createNamespace(ctx context.Context, c *caller, in *createNamespace) (*Output[Namespace], error) {
	if c.bound != "" {
		return nil, schema.Errorf(schema.CodeForbidden, "a key that is bound to a namespace cannot make another")
	}
	n := store.Namespace{ID: schema.NewID(schema.PrefixNamespace), Name: in.Body.Name, CreatedAt: s.now()}
	n.RetentionDays = in.Body.RetentionDays
	n.RetentionFrom = s.retentionFrom(store.Namespace{}, n.RetentionDays)
	draft, err := s.audit(c, "namespace.create", n.ID, map[string]any{"name": n.Name, "retention_days": n.RetentionDays})
	if err != nil {
		return nil, err
	}
	if err := s.scheduleSweep(ctx, c.org, n); err != nil {
		return nil, err
	}
	if err := c.cell.Door().CreateNamespace(ctx, n, draft); err != nil {
		return nil, err
	}
	return answer(showNamespace(n)), nil
}
