package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// The chains of a cell's audit log.
const (
	auditDoor = store.ChainDoor
	auditWork = store.ChainWork
)

// AuditEntry is one act on the record.
type AuditEntry struct {
	ID        string          `json:"id"`
	Chain     string          `json:"chain" enum:"door,work" doc:"Each writing process has a chain of its own."`
	Sequence  int64           `json:"sequence" doc:"Without a gap in its chain."`
	At        time.Time       `json:"at"`
	Actor     string          `json:"actor" doc:"Id of a key, a source or a run, or system."`
	Action    string          `json:"action" example:"credential.write"`
	Target    string          `json:"target"`
	Namespace string          `json:"namespace,omitempty"`
	Detail    json.RawMessage `json:"detail,omitempty"`
	Previous  []byte          `json:"previous" doc:"Hash of the entry before."`
	Hash      []byte          `json:"hash"`
}

type listAudit struct {
	Paging
	Namespace string `query:"namespace" maxLength:"64" doc:"Id or name; a key that is bound to a namespace sees that one."`
	Action    string `query:"action" maxLength:"64"`
}

func (s *Server) registerAudit() {
	handle(s, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: "/v1/audit", Tags: []string{"Audit"},
		Summary:     "List what was done, newest first",
		Description: "The chains of the writing processes, as one log. Nobody can change or remove an entry.",
	}, access{scope: scopeOrganization, permission: AuditRead}, s.listAudit)
}

// listAudit merges both chains by time. Its cursor holds a place in each.
func (s *Server) listAudit(ctx context.Context, c *caller, in *listAudit) (*Output[List[AuditEntry]], error) {
	filter := store.AuditFilter{Namespace: c.bound, Action: in.Action, Limit: in.Limit}
	if in.Namespace != "" {
		ns, err := c.cell.Door().GetNamespace(ctx, in.Namespace)
		if err != nil {
			return nil, err
		}
		if c.bound != "" && ns.ID != c.bound {
			return nil, schema.Errorf(schema.CodeNotFound, "there is no such namespace")
		}
		filter.Namespace = ns.ID
	}
	afterDoor, afterWork, ok := strings.Cut(in.After, ".")
	if in.After != "" && !ok {
		return nil, schema.Errorf(schema.CodeInvalid, "the cursor is not one of this list")
	}
	filter.After = afterDoor
	door, err := c.cell.Door().ListAudit(ctx, filter)
	if err != nil {
		return nil, err
	}
	filter.After = afterWork
	work, err := c.cell.Work().ListAudit(ctx, filter)
	if err != nil {
		return nil, err
	}
	page := List[AuditEntry]{Items: []AuditEntry{}}
	more := len(door) == in.Limit || len(work) == in.Limit || len(door)+len(work) > in.Limit
	for len(page.Items) < in.Limit && len(door)+len(work) > 0 {
		var next store.AuditEntry
		if len(work) == 0 || (len(door) > 0 && !door[0].At.Before(work[0].At)) {
			next, door, afterDoor = door[0], door[1:], door[0].Cursor()
		} else {
			next, work, afterWork = work[0], work[1:], work[0].Cursor()
		}
		shown, err := c.showAudit(next)
		if err != nil {
			return nil, err
		}
		page.Items = append(page.Items, shown)
	}
	if more {
		page.Next = afterDoor + "." + afterWork
	}
	return answer(page), nil
}

func (c *caller) showAudit(e store.AuditEntry) (AuditEntry, error) {
	shown := AuditEntry{
		ID: e.ID, Chain: e.Chain, Sequence: e.Seq, At: e.At, Actor: e.Actor, Action: e.Action, Target: e.Target,
		Namespace: e.Namespace, Previous: e.Prev, Hash: e.Hash,
	}
	if len(e.DetailSealed) == 0 {
		return shown, nil
	}
	err := c.cell.openJSON(place.Audit(c.org, e.Chain), e.DetailSealed, &shown.Detail)
	return shown, err
}
