package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

type deleteOrganization struct {
	OrganizationPath
	Confirm string `query:"confirm" required:"true" maxLength:"200" doc:"The organization's id or name once more, so that none is deleted by accident."`
}

func (s *Server) registerDeletion() {
	handle(s, huma.Operation{
		OperationID: "delete-organization", Method: http.MethodDelete, Path: "/v1/organizations/{organization}",
		Tags: []string{"Organizations"}, Summary: "Delete an organization", DefaultStatus: http.StatusAccepted,
		Description: "Nothing leads to it any more when this answers; its cell is removed in the background, its keys first: " +
			"what they sealed cannot be read again, in no copy and no backup. It cannot be taken back. " +
			"It may be repeated; once all is removed there is no such organization.",
	}, access{scope: scopePlatform, permission: OrganizationWrite}, s.deleteOrganization)
}

func (s *Server) deleteOrganization(ctx context.Context, c *caller, in *deleteOrganization) (*Output[Organization], error) {
	if err := c.owns(in.Organization); err != nil {
		return nil, err
	}
	o, err := s.config.Control.GetOrganization(ctx, in.Organization)
	if err != nil {
		return nil, err
	}
	if in.Confirm != o.ID && in.Confirm != o.Name {
		return nil, schema.Errorf(schema.CodeInvalid, "confirm is neither the organization's id nor its name").
			Advise("Send ?confirm= with its id or name once more.")
	}
	err = s.config.Control.BeginDeletion(ctx, o.ID, store.AuditDraft{
		Actor: c.actor, Action: "organization.delete", Target: o.ID, Organization: o.ID,
	})
	if err != nil {
		return nil, err
	}
	s.cells.drop(o.ID)
	s.config.Bell(o.ID)
	o.State = store.OrganizationDeleting
	return answer(showOrganization(o)), nil
}
