package platform

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Delete removes an organization whose cell has stopped.
const Delete = "tenon.delete"

// The activities of deletion, in their order. Each is idempotent, so that a
// host may be killed anywhere and another goes on.
const (
	// DeleteShut makes sure that nothing leads to the cell any more, and that
	// the deletion was asked for at all.
	DeleteShut = "tenon.delete.shut"
	// DeleteKeys destroys the cell's keys: what they sealed, wherever a copy of
	// it is, is noise from then on.
	DeleteKeys = "tenon.delete.keys"
	// DeleteDatabases removes the cell's databases and roles.
	DeleteDatabases = "tenon.delete.databases"
	// DeleteNamespace removes the cell's namespace from the engine, with its
	// histories. It tells whether it is gone yet.
	DeleteNamespace = "tenon.delete.namespace"
	// DeleteForget leaves a tombstone in the control database.
	DeleteForget = "tenon.delete.forget"
)

// namespacePause is how long the engine is left to remove a namespace before it
// is asked again.
const namespacePause = 2 * time.Second

// DeleteWorkflow removes an organization. The keys go first: should all else be
// held up, what is left cannot be read.
func DeleteWorkflow(ctx workflow.Context, organization string) error {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: time.Minute,
		},
	})
	for _, name := range []string{DeleteShut, DeleteKeys, DeleteDatabases} {
		if err := workflow.ExecuteLocalActivity(ctx, name, organization).Get(ctx, nil); err != nil {
			return err
		}
	}
	for gone := false; !gone; {
		if err := workflow.ExecuteLocalActivity(ctx, DeleteNamespace, organization).Get(ctx, &gone); err != nil {
			return err
		}
		if !gone {
			if err := workflow.Sleep(ctx, namespacePause); err != nil {
				return err
			}
		}
	}
	return workflow.ExecuteLocalActivity(ctx, DeleteForget, organization).Get(ctx, nil)
}
