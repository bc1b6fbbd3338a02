package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
)

// AuditEntry is one act on the record.
type AuditEntry audit.Record

// AuditCheckpoint says where the chains ended at one time, signed.
type AuditCheckpoint audit.Checkpoint

// AuditFilter is what a list or an export of the log can be narrowed to.
// Exported, as those below: the framework fills in no unexported embedded
// parameters.
type AuditFilter struct {
	Actor  string    `query:"actor" maxLength:"200"`
	Action string    `query:"action" maxLength:"64"`
	Target string    `query:"target" maxLength:"200"`
	Since  time.Time `query:"since" doc:"Not before this time, RFC 3339."`
	Until  time.Time `query:"until" doc:"Before this time, RFC 3339."`
}

func (f AuditFilter) store() store.AuditFilter {
	return store.AuditFilter{Actor: f.Actor, Action: f.Action, Target: f.Target, Since: f.Since, Until: f.Until}
}

// AuditNamespace narrows an organization's log to a namespace.
type AuditNamespace struct {
	Namespace string `query:"namespace" maxLength:"64" doc:"Id or name; a key that is bound to a namespace sees that one."`
}

// AuditOrganization narrows the platform's log to what concerns an organization.
type AuditOrganization struct {
	Organization string `query:"organization" maxLength:"64"`
}

type (
	listAudit struct {
		Paging
		AuditNamespace
		AuditFilter
	}
	exportAudit struct {
		AuditNamespace
		AuditFilter
	}
	listPlatformAudit struct {
		Paging
		AuditOrganization
		AuditFilter
	}
	exportPlatformAudit struct {
		AuditOrganization
		AuditFilter
	}
	listCheckpoints struct {
		After int64 `query:"after" minimum:"0" doc:"Number of the last checkpoint that is known."`
		Limit int   `query:"limit" default:"50" minimum:"1" maximum:"200"`
	}
)

func (s *Server) registerAudit() {
	tags := []string{"Audit"}
	one := access{scope: scopeOrganization, permission: AuditRead}
	all := access{scope: scopePlatform, permission: AuditRead}
	handle(s, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: "/v1/audit", Tags: tags,
		Summary: "List what was done, newest first",
		Description: "The chains of the writing processes, as one log: what was done to the organization's cell, in it, and to its keys and " +
			"routes in the control database. Nobody can change or remove an entry.",
	}, one, s.listAudit)
	handle(s, exporting(huma.Operation{
		OperationID: "export-audit", Method: http.MethodGet, Path: "/v1/audit/export", Tags: tags,
		Summary: "Export what was done, oldest first",
		Description: "NDJSON, one object a line: a header, the signed checkpoints, the entries, and an end that says that nothing was cut " +
			"off. `tenon audit verify` verifies it. With a filter, or a key that is bound to a namespace, it holds a part of each chain.",
	}), one, s.exportAudit)
	handle(s, huma.Operation{
		OperationID: "list-audit-checkpoints", Method: http.MethodGet, Path: "/v1/audit/checkpoints", Tags: tags,
		Summary:     "List the signed checkpoints over the organization's chains, oldest first",
		Description: "Keep them elsewhere: what they cover cannot be cut off or rewritten without showing.",
	}, one, s.listCheckpoints)
	handle(s, huma.Operation{
		OperationID: "list-platform-audit", Method: http.MethodGet, Path: "/v1/platform/audit", Tags: tags,
		Summary: "List what was done to the control database, newest first",
	}, all, s.listPlatformAudit)
	handle(s, exporting(huma.Operation{
		OperationID: "export-platform-audit", Method: http.MethodGet, Path: "/v1/platform/audit/export", Tags: tags,
		Summary: "Export what was done to the control database, oldest first", Description: "NDJSON, as of export-audit.",
	}), all, s.exportPlatformAudit)
	handle(s, huma.Operation{
		OperationID: "list-platform-audit-checkpoints", Method: http.MethodGet, Path: "/v1/platform/audit/checkpoints", Tags: tags,
		Summary: "List the signed checkpoints over the control database's chain, oldest first",
	}, all, s.listCheckpoints)
}

func (s *Server) listAudit(ctx context.Context, c *caller, in *listAudit) (*Output[List[AuditEntry]], error) {
	t, err := s.organizationTrail(ctx, c, in.Namespace, in.AuditFilter)
	if err != nil {
		return nil, err
	}
	return t.page(ctx, in.Paging)
}

func (s *Server) listPlatformAudit(ctx context.Context, _ *caller, in *listPlatformAudit) (*Output[List[AuditEntry]], error) {
	return s.platformTrail(ctx, in.Organization, in.AuditFilter).page(ctx, in.Paging)
}

func (s *Server) exportAudit(ctx context.Context, c *caller, in *exportAudit) (*huma.StreamResponse, error) {
	t, err := s.organizationTrail(ctx, c, in.Namespace, in.AuditFilter)
	if err != nil {
		return nil, err
	}
	return s.export(ctx, t)
}

func (s *Server) exportPlatformAudit(ctx context.Context, _ *caller, in *exportPlatformAudit) (*huma.StreamResponse, error) {
	return s.export(ctx, s.platformTrail(ctx, in.Organization, in.AuditFilter))
}

// listCheckpoints shows the caller's own: a platform key's are the control
// chain's. Their heads count what happened in every namespace.
func (s *Server) listCheckpoints(ctx context.Context, c *caller, in *listCheckpoints) (*Output[List[AuditCheckpoint]], error) {
	if c.bound != "" {
		return nil, schema.Errorf(schema.CodeForbidden, "a key of one namespace cannot see checkpoints over all of them")
	}
	found, err := s.config.Control.ListCheckpoints(ctx, c.org, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return answer(listed(found, in.Limit, func(p audit.Checkpoint) AuditCheckpoint { return AuditCheckpoint(p) },
		func(p audit.Checkpoint) string { return number(p.Sequence) })), nil
}
