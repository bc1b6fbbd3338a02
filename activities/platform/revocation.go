package platform

import (
	"context"
	"errors"
	"strconv"
	"time"

	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/task"
)

// RevokeTokens tells the engine that operators' tokens for the namespace are
// good only when they were made after at. The engine keeps it with the
// namespace and refuses older tokens from then on, web sessions included; it
// never takes it back. A namespace that is not there has nothing to refuse: who
// makes it again tells this again.
func RevokeTokens(ctx context.Context, services Services, name string, at time.Time) error {
	_, err := services.WorkflowService().UpdateNamespace(ctx, &workflowservice.UpdateNamespaceRequest{
		Namespace:  name,
		UpdateInfo: &namespacepb.UpdateNamespaceInfo{Data: map[string]string{task.TokensNotBefore: strconv.FormatInt(at.Unix(), 10)}},
	})
	var missing *serviceerror.NamespaceNotFound
	if err != nil && !errors.As(err, &missing) {
		return schema.Errorf(schema.CodeUnavailable, "the engine cannot be told of revoked tokens: %w", err)
	}
	return nil
}
