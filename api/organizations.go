package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

// Organization is a customer, with its own cell.
type Organization struct {
	ID        string    `json:"id" example:"org_01k0000000e008000000000000"`
	Name      string    `json:"name"`
	State     string    `json:"state" enum:"provisioning,active,suspended,put_back,deleting" doc:"Its cell can be used when active. put_back: its databases are of an earlier time than what was signed, and nothing runs until that is accepted."`
	CreatedAt time.Time `json:"created_at"`
}

func showOrganization(o store.Organization) Organization {
	return Organization{ID: o.ID, Name: o.Name, State: o.State, CreatedAt: o.CreatedAt}
}

type createOrganization struct {
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"200"`
	}
}

func (s *Server) registerOrganizations() {
	tags := []string{"Organizations"}
	handle(s, huma.Operation{
		OperationID: "create-organization", Method: http.MethodPost, Path: "/v1/organizations", Tags: tags,
		Summary: "Create an organization", DefaultStatus: http.StatusCreated,
		Description: "Its cell - databases, keys, engine namespace, worker - is provisioned in the background; state turns active.",
	}, access{scope: scopePlatform, permission: OrganizationWrite}, s.createOrganization)
	handle(s, huma.Operation{
		OperationID: "list-organizations", Method: http.MethodGet, Path: "/v1/organizations", Tags: tags,
		Summary: "List organizations",
	}, access{scope: scopePlatform, permission: OrganizationRead}, func(ctx context.Context, _ *caller, in *Paging) (*Output[List[Organization]], error) {
		rows, err := s.config.Control.ListOrganizations(ctx, in.After, in.Limit)
		if err != nil {
			return nil, err
		}
		return answer(listed(rows, in.Limit, showOrganization, func(o store.Organization) string { return o.ID })), nil
	})
	handle(s, huma.Operation{
		OperationID: "get-organization", Method: http.MethodGet, Path: "/v1/organizations/{organization}", Tags: tags,
		Summary: "Show an organization",
	}, access{scope: scopeAccount, permission: OrganizationRead}, func(ctx context.Context, c *caller, in *struct {
		Organization string `path:"organization" maxLength:"64"`
	},
	) (*Output[Organization], error) {
		if err := c.owns(in.Organization); err != nil {
			return nil, err
		}
		o, err := s.config.Control.GetOrganization(ctx, in.Organization)
		if err != nil {
			return nil, err
		}
		return answer(showOrganization(o)), nil
	})
}

// owns refuses an organization that is not the caller's as if there was none.
func (c *caller) owns(org string) error {
	if schema.CheckID(schema.PrefixOrganization, org) != nil || (!c.platform() && org != c.org) {
		return schema.Errorf(schema.CodeNotFound, "there is no such organization")
	}
	return nil
}

func (s *Server) createOrganization(ctx context.Context, c *caller, in *createOrganization) (*Output[Organization], error) {
	now := s.now()
	o := store.Organization{
		ID: schema.NewID(schema.PrefixOrganization), Name: in.Body.Name, State: store.OrganizationProvisioning,
		CreatedAt: now, UpdatedAt: now,
	}
	err := s.config.Control.CreateOrganization(ctx, o, store.AuditDraft{Actor: c.actor, Action: "organization.create", Target: o.ID})
	if err != nil {
		return nil, err
	}
	s.config.Bell(o.ID)
	return answer(showOrganization(o)), nil
}
