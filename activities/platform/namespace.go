package platform

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/task"
)

// Services is what EnsureNamespace needs of a connection; the SDK's client has
// it. Its calls must carry a system token.
type Services interface {
	WorkflowService() workflowservice.WorkflowServiceClient
	OperatorService() operatorservice.OperatorServiceClient
}

// EnsureNamespace makes a Temporal namespace with the search attribute that
// names the runs which a workflow carries (task.RunsAttribute), and returns
// when both can be used. It is idempotent, and safe to call from several
// places at once; an existing namespace keeps its retention.
func EnsureNamespace(ctx context.Context, services Services, name string, retention time.Duration) error {
	_, err := services.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace:                        name,
		WorkflowExecutionRetentionPeriod: durationpb.New(retention),
		HistoryArchivalState:             enumspb.ARCHIVAL_STATE_DISABLED,
		VisibilityArchivalState:          enumspb.ARCHIVAL_STATE_DISABLED,
	})
	var exists *serviceerror.NamespaceAlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return schema.Errorf(schema.CodeUnavailable, "the namespace cannot be registered: %w", err)
	}
	wait := 10 * time.Millisecond
	for {
		err := ready(ctx, services, name)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return schema.Errorf(schema.CodeUnavailable, "the namespace is not ready in time: %w", err)
		case <-time.After(wait):
		}
		wait = min(2*wait, time.Second)
	}
}

// ready makes sure that the search attribute exists and that the services
// know of it: a list by it is refused until they do.
func ready(ctx context.Context, services Services, name string) error {
	known, err := services.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: name})
	if err != nil {
		return err
	}
	if _, ok := known.GetCustomAttributes()[task.RunsAttribute]; !ok {
		_, err := services.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
			Namespace:        name,
			SearchAttributes: map[string]enumspb.IndexedValueType{task.RunsAttribute: enumspb.INDEXED_VALUE_TYPE_KEYWORD_LIST},
		})
		var exists *serviceerror.AlreadyExists
		if err != nil && !errors.As(err, &exists) {
			return err
		}
	}
	_, err = services.WorkflowService().CountWorkflowExecutions(ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Namespace: name,
		Query:     fmt.Sprintf("%s = 'none'", task.RunsAttribute),
	})
	return err
}
