package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/workflows/platform"
)

const (
	// tidyEvery is how often a host looks for what it has still of organizations
	// that were deleted.
	tidyEvery = 10 * time.Second
	// tidyWithin is how far back it looks then; at its start it looks at all.
	tidyWithin = time.Hour
)

// delete removes the organization of a cell that does not run, or joins the
// workflow that is removing it. The lease is held meanwhile: no other host
// starts the cell.
func (h *Host) delete(ctx context.Context, organization string) error {
	var ended *serviceerror.NotFound
	// What is making the cell still would make it anew.
	err := h.cfg.Client.TerminateWorkflow(ctx, provisionID(organization), "", "the organization is being deleted")
	if err != nil && !errors.As(err, &ended) {
		return schema.Errorf(schema.CodeUnavailable, "the engine did not end the provisioning: %w", err)
	}
	run, err := h.cfg.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: "delete-" + organization, TaskQueue: platform.Queue, EnableEagerStart: true,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, platform.Delete, organization)
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the engine did not start the deletion: %w", err)
	}
	if err := run.Get(ctx, nil); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the deletion did not end: %w", err)
	}
	h.migrated.Delete(organization)
	if err := h.tidyCell(ctx, organization); err != nil {
		return err
	}
	h.cfg.Logger.InfoContext(ctx, "an organization was deleted", "organization", organization)
	return nil
}

// tidy removes what this machine has still of deleted organizations until the
// context ends: the directories of their sockets, and keys that came back with
// an older copy of the key store.
func (h *Host) tidy(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	since := time.Time{}
	for {
		began := time.Now()
		if err := h.tidyOnce(ctx, since); err == nil {
			since = began.Add(-tidyWithin)
		} else if ctx.Err() == nil {
			h.cfg.Logger.WarnContext(ctx, "what is left of deleted organizations could not be removed and is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (h *Host) tidyOnce(ctx context.Context, since time.Time) error {
	deleted, err := h.cfg.Control.DeletedOrganizations(ctx, since)
	if err != nil {
		return err
	}
	for _, organization := range deleted {
		if err := h.tidyCell(ctx, organization); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) tidyCell(ctx context.Context, organization string) error {
	if err := h.cfg.Keys.Delete(ctx, organization); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(h.cfg.RunDir, organization)); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the cell's socket directory could not be removed: %w", err)
	}
	return nil
}
