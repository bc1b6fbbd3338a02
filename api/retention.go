package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

// retentionNotice is how long a retention that was set or shortened removes
// nothing yet: a slip can be taken back.
const retentionNotice = 24 * time.Hour

// NamespacePath names a namespace. Exported: the framework fills in no unexported
// embedded parameters.
type NamespacePath struct {
	Namespace string `path:"namespace" maxLength:"64" doc:"Id or name."`
}

type updateNamespace struct {
	NamespacePath
	Body struct {
		RetentionDays *int `json:"retention_days,omitempty" minimum:"0" maximum:"3650" doc:"Days after the end of a run after which what it left is removed; 0 for never."`
	}
}

func (s *Server) registerRetention() {
	tags := []string{"Namespaces"}
	handle(s, huma.Operation{
		OperationID: "get-namespace", Method: http.MethodGet, Path: "/v1/namespaces/{namespace}", Tags: tags, Summary: "Show a namespace",
	}, access{scope: scopeOrganization, permission: NamespacesRead}, func(ctx context.Context, c *caller, in *NamespacePath) (*Output[Namespace], error) {
		row, err := c.ownNamespace(ctx, in.Namespace)
		return answer(showNamespace(row)), err
	})
	handle(s, huma.Operation{
		OperationID: "update-namespace", Method: http.MethodPatch, Path: "/v1/namespaces/{namespace}", Tags: tags,
		Summary: "Set for how long a namespace keeps what ended runs left",
		Description: "Counted from the end of a run. Open and uncertain runs, events without a run and dead letters that nobody has replayed or " +
			"discarded stay, and so do the audit log and what makes a message that comes again the same. What is removed does not come back: a " +
			"retention that is set or shortened removes nothing for a day.",
	}, access{scope: scopeOrganization, permission: NamespacesWrite}, s.updateNamespace)
}

// ownNamespace finds a namespace. For a key of another one there is none.
func (c *caller) ownNamespace(ctx context.Context, idOrName string) (store.Namespace, error) {
	row, err := c.cell.Door().GetNamespace(ctx, idOrName)
	if err == nil && c.bound != "" && row.ID != c.bound {
		return store.Namespace{}, schema.Errorf(schema.CodeNotFound, "there is no such namespace")
	}
	return row, err
}

func (s *Server) updateNamespace(ctx context.Context, c *caller, in *updateNamespace) (*Output[Namespace], error) {
	row, err := c.ownNamespace(ctx, in.Namespace)
	if err != nil {
		return nil, err
	}
	wanted := in.Body.RetentionDays
	if wanted == nil || *wanted == row.RetentionDays {
		return answer(showNamespace(row)), s.scheduleSweep(ctx, c.org, row)
	}
	next := row
	next.RetentionDays, next.RetentionFrom = *wanted, s.retentionFrom(row, *wanted)
	draft, err := s.audit(c, "namespace.update", row.ID, map[string]any{
		"retention_days": next.RetentionDays, "before": row.RetentionDays, "retention_from": next.RetentionFrom,
	})
	if err != nil {
		return nil, err
	}
	draft.Namespace = row.ID
	// First of all, so that no retention is ever forgotten; a sweep that finds none
	// does nothing.
	if err := s.scheduleSweep(ctx, c.org, next); err != nil {
		return nil, err
	}
	if err := c.cell.Door().SetRetention(ctx, row, next.RetentionDays, next.RetentionFrom, draft); err != nil {
		return nil, err
	}
	return answer(showNamespace(next)), nil
}

// retentionFrom is when a retention begins to remove: what it removes that the one
// before would have kept is kept for a day more.
func (s *Server) retentionFrom(was store.Namespace, days int) *time.Time {
	switch {
	case days == 0:
		return nil
	case was.RetentionDays > 0 && days > was.RetentionDays:
		return was.RetentionFrom
	}
	from := s.now().Add(retentionNotice).Truncate(time.Microsecond)
	return &from
}

func (s *Server) scheduleSweep(ctx context.Context, org string, n store.Namespace) error {
	if n.RetentionFrom == nil {
		return nil
	}
	return s.config.Control.ScheduleSweep(ctx, org, *n.RetentionFrom)
}

// gone is what is told of an event or run that is not there: that it was removed,
// when one that was made at the time of its id is. It goes by the id alone, and
// tells nobody whether there ever was one.
func (c *caller) gone(ctx context.Context, id string, err error) error {
	if schema.CodeOf(err) != schema.CodeNotFound {
		return err
	}
	made := schema.IDTime(id)
	swept, failed := c.cell.Door().LastSweep(ctx, c.namespace.ID)
	if failed != nil {
		return failed
	}
	if made.IsZero() || !made.Before(swept.Before) {
		return err
	}
	return unknown(schema.Errorf(schema.CodeGone, "there is none any more: what is as old was removed at the end of the namespace's retention").
		Advise("What was removed cannot be read or replayed. Have the message sent anew, with an id of its own, or start a run."))
}
