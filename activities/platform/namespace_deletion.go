package platform

import (
	"context"
	"errors"
	"strings"

	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/tenonhq/tenon/schema"
)

// deletedInfix stands between a namespace's name and a suffix of the engine's
// while the engine removes what the namespace holds.
const deletedInfix = "-deleted-"

// RemoveNamespace has the engine remove a namespace with everything in it, and
// tells whether it is gone. It is idempotent: the engine renames the namespace
// at once, so that its name opens nothing, and removes histories and visibility
// records in the background; a namespace that it is still removing is not gone.
func RemoveNamespace(ctx context.Context, services Services, name string) (gone bool, err error) {
	_, err = services.OperatorService().DeleteNamespace(ctx, &operatorservice.DeleteNamespaceRequest{Namespace: name})
	var missing *serviceerror.NamespaceNotFound
	if err != nil && !errors.As(err, &missing) {
		return false, schema.Errorf(schema.CodeUnavailable, "the engine cannot remove the namespace: %w", err)
	}
	request := &workflowservice.ListNamespacesRequest{PageSize: 1000, NamespaceFilter: &namespacepb.NamespaceFilter{IncludeDeleted: true}}
	for {
		page, err := services.WorkflowService().ListNamespaces(ctx, request)
		if err != nil {
			return false, schema.Errorf(schema.CodeUnavailable, "the engine's namespaces cannot be listed: %w", err)
		}
		for _, n := range page.GetNamespaces() {
			if known := n.GetNamespaceInfo().GetName(); known == name || strings.HasPrefix(known, name+deletedInfix) {
				return false, nil
			}
		}
		if len(page.GetNextPageToken()) == 0 {
			return true, nil
		}
		request.NextPageToken = page.GetNextPageToken()
	}
}
