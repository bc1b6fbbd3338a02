// Package platform holds the platform's own workflows, which run in the
// platform's namespace in the host process. Their inputs and results are
// organization ids and nothing else: no key is ever an activity's input or
// result.
//
// It may import schema and the engine's SDK.
package platform

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Names as the engine knows them.
const (
	// Namespace is the platform's own namespace in the engine.
	Namespace = "tenon-platform"
	// Queue is the task queue of the hosts.
	Queue = "platform"
	// Provision makes a new organization's cell.
	Provision = "tenon.provision"
)

// The activities of provisioning, in their order. Each is idempotent, so that
// a host may be killed anywhere and another goes on.
const (
	// ProvisionKeys generates the cell's keys into the key store.
	ProvisionKeys = "tenon.provision.keys"
	// ProvisionDatabases makes the cell's databases and roles.
	ProvisionDatabases = "tenon.provision.databases"
	// ProvisionNamespace registers the cell's namespace in the engine.
	ProvisionNamespace = "tenon.provision.namespace"
	// ProvisionActivate opens the organization for use.
	ProvisionActivate = "tenon.provision.activate"
)

// ProvisionWorkflow makes the cell of an organization.
func ProvisionWorkflow(ctx workflow.Context, organization string) error {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: time.Minute,
		},
	})
	for _, name := range []string{ProvisionKeys, ProvisionDatabases, ProvisionNamespace, ProvisionActivate} {
		if err := workflow.ExecuteLocalActivity(ctx, name, organization).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}
