package supervisor

import (
	"context"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	platformactivities "github.com/tenonhq/tenon/activities/platform"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/workflows/platform"
)

// platformWorker serves the platform's own workflows.
func (h *Host) platformWorker(context.Context) (sdkworker.Worker, error) {
	w := sdkworker.New(h.cfg.Client, platform.Queue, sdkworker.Options{
		DisableRegistrationAliasing: true, Interceptors: []interceptor.WorkerInterceptor{&telling{logger: h.cfg.Logger}},
	})
	p := platformactivities.New(platformactivities.Config{
		Keys: h.cfg.Keys, Control: h.cfg.Control, Admin: h.cfg.Admin,
		Publics: h.publics, Namespace: h.cfg.Namespace, DeleteNamespace: h.cfg.DeleteNamespace, Host: h.id,
	})
	w.RegisterWorkflowWithOptions(platform.ProvisionWorkflow, workflow.RegisterOptions{Name: platform.Provision})
	rotations := platformactivities.NewRotation(p, platformactivities.RotationConfig{Root: h.root, Histories: h.histories})
	w.RegisterWorkflowWithOptions(platform.RotateWorkflow, workflow.RegisterOptions{Name: platform.Rotate})
	w.RegisterActivityWithOptions(rotations.Step, activity.RegisterOptions{Name: platform.RotateStep})
	w.RegisterWorkflowWithOptions(platform.DeleteWorkflow, workflow.RegisterOptions{Name: platform.Delete})
	for name, act := range map[string]any{
		platform.ProvisionKeys: p.Keys, platform.ProvisionDatabases: p.Databases,
		platform.ProvisionNamespace: p.Namespace, platform.ProvisionActivate: p.Activate,
		platform.DeleteShut: p.DeleteShut, platform.DeleteKeys: p.DeleteKeys, platform.DeleteDatabases: p.DeleteDatabases,
		platform.DeleteNamespace: p.DeleteNamespace, platform.DeleteForget: p.DeleteForget,
	} {
		w.RegisterActivityWithOptions(act, activity.RegisterOptions{Name: name})
	}
	if err := w.Start(); err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the platform's worker could not start: %w", err)
	}
	return w, nil
}

func provisionID(organization string) string { return "provision-" + organization }

// provision makes a cell, or joins the workflow that is making it.
func (h *Host) provision(ctx context.Context, organization string) error {
	select {
	case h.making <- struct{}{}:
		defer func() { <-h.making }()
	case <-ctx.Done():
		return ctx.Err()
	}
	run, err := h.cfg.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: provisionID(organization), TaskQueue: platform.Queue, EnableEagerStart: true,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, platform.Provision, organization)
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the engine did not start the provisioning: %w", err)
	}
	if err := run.Get(ctx, nil); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the provisioning did not end: %w", err)
	}
	return nil
}
