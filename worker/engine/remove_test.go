package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc/codes"

	"github.com/tenonhq/tenon/activities/platform"
	"github.com/tenonhq/tenon/schema/task"
	"github.com/tenonhq/tenon/schema/token"
)

// The engine removes a namespace with what ran and what runs in it. Its name
// opens nothing from the first answer on, and another namespace is not touched.
func TestRemovedNamespace(t *testing.T) {
	t.Parallel()
	own, other := newCell(t, shared), newCell(t, shared)
	for _, c := range []cell{own, other} {
		_, err := c.client(t, shared).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "car_1", TaskQueue: task.Queue}, greeting, "x", false)
		require.NoError(t, err)
	}
	services := system(t, shared)
	about, err := services.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: own.org})
	require.NoError(t, err)
	gone, err := platform.RemoveNamespace(t.Context(), services, own.org)
	require.NoError(t, err)
	require.False(t, gone, "the engine takes its time")
	bearer := mint(t, shared.signer, token.RoleCell, own.org)
	require.NotEqual(t, codes.OK, listed(t, shared.engine.Frontend(), bearer, own.org))

	require.Eventually(t, func() bool {
		gone, err := platform.RemoveNamespace(t.Context(), services, own.org)
		return assert.NoError(t, err) && gone
	}, 50*time.Second, 500*time.Millisecond)
	_, err = services.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Id: about.GetNamespaceInfo().GetId()})
	require.Error(t, err, "by its id neither")
	all, err := services.WorkflowService().ListNamespaces(t.Context(), &workflowservice.ListNamespacesRequest{
		PageSize: 1000, NamespaceFilter: &namespacepb.NamespaceFilter{IncludeDeleted: true},
	})
	require.NoError(t, err)
	for _, n := range all.GetNamespaces() {
		require.NotContains(t, n.GetNamespaceInfo().GetName(), own.org)
	}
	gone, err = platform.RemoveNamespace(t.Context(), services, own.org)
	require.NoError(t, err)
	require.True(t, gone, "and once more")
	require.Equal(t, codes.OK, listed(t, shared.engine.Frontend(), mint(t, shared.signer, token.RoleCell, other.org), other.org))
}
