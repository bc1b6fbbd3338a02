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
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
}

func showNamespace(n store.Namespace) Namespace {
	return Namespace{ID: n.ID, Name: n.Name, CreatedAt: n.CreatedAt}
}

type createNamespace struct {
	Body struct {
		Name string `json:"name" pattern:"^[a-z][a-z0-9-]{0,62}$" patternDescription:"lower-case letters, digits and hyphens" example:"prod"`
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
}

func (s *Server) createNamespace(ctx context.Context, c *caller, in *createNamespace) (*Output[Namespace], error) {
	if c.bound != "" {
		return nil, schema.Errorf(schema.CodeForbidden, "a key that is bound to a namespace cannot make another")
	}
	n := store.Namespace{ID: schema.NewID(schema.PrefixNamespace), Name: in.Body.Name, CreatedAt: s.now()}
	draft, err := s.audit(c, "namespace.create", n.ID, map[string]any{"name": n.Name})
	if err != nil {
		return nil, err
	}
	if err := c.cell.Door().CreateNamespace(ctx, n, draft); err != nil {
		return nil, err
	}
	return answer(showNamespace(n)), nil
}
