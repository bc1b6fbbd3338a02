package supervisor

import (
	"context"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/workflows/platform"
)

// root are the private halves of the root pair, the newest first.
func (h *Host) root() ([]seal.PrivateKey, error) {
	return h.cfg.Keys.Holds(keystore.SideRoot, h.cfg.Root)
}

// beginRotations has the rotations begun that are asked for. Every host does so:
// the engine runs one workflow for each, and one that is lost is begun again.
func (h *Host) beginRotations(ctx context.Context) error {
	open, err := h.cfg.Control.OpenRotations(ctx)
	if err != nil {
		return err
	}
	for _, rotation := range open {
		_, err := h.cfg.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			ID: "rotate-" + rotation.ID, TaskQueue: platform.Queue,
			WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
			WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		}, platform.Rotate, rotation.ID)
		if err != nil {
			return schema.Errorf(schema.CodeUnavailable, "the engine did not start the rotation: %w", err)
		}
	}
	return nil
}

// histories counts the workflows of an organization, open ones and those that the
// engine keeps for its tools, that began before.
func (h *Host) histories(ctx context.Context, organization string, before time.Time) (int, error) {
	counted, err := h.cfg.Client.WorkflowService().CountWorkflowExecutions(ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Namespace: organization, Query: fmt.Sprintf("StartTime < '%s'", before.UTC().Format(time.RFC3339Nano)),
	})
	if err != nil {
		return 0, schema.Errorf(schema.CodeUnavailable, "the engine did not count its histories: %w", err)
	}
	return int(counted.GetCount()), nil
}
