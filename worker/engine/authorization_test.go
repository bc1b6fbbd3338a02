package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/operatorservice/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/server/api/adminservice/v1"
	tokenspb "go.temporal.io/server/api/token/v1"
	"go.temporal.io/server/common/tasktoken"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tenonhq/tenon/schema/task"
	"github.com/tenonhq/tenon/schema/token"
)

// call is one request in a namespace.
type call struct {
	name string
	do   func(ctx context.Context, conn *grpc.ClientConn, namespace string) error
}

// public wraps a call of the workflow service.
func public[Request, Answer any](name string, method func(workflowservice.WorkflowServiceClient, context.Context, Request, ...grpc.CallOption) (Answer, error), make func(namespace string) Request) call {
	return call{name: name, do: func(ctx context.Context, conn *grpc.ClientConn, namespace string) error {
		_, err := method(workflowservice.NewWorkflowServiceClient(conn), ctx, make(namespace))
		return err
	}}
}

type workflows = workflowservice.WorkflowServiceClient

// works is what a cell calls; reads and acts what an operator calls; rest what
// neither may.
func works() []call {
	queue := &taskqueuepb.TaskQueue{Name: task.Queue}
	execution := &commonpb.WorkflowExecution{WorkflowId: "none"}
	return []call{
		public("PollWorkflowTaskQueue", workflows.PollWorkflowTaskQueue, func(n string) *workflowservice.PollWorkflowTaskQueueRequest {
			return &workflowservice.PollWorkflowTaskQueueRequest{Namespace: n, TaskQueue: queue}
		}),
		public("PollActivityTaskQueue", workflows.PollActivityTaskQueue, func(n string) *workflowservice.PollActivityTaskQueueRequest {
			return &workflowservice.PollActivityTaskQueueRequest{Namespace: n, TaskQueue: queue}
		}),
		public("RespondActivityTaskCompleted", workflows.RespondActivityTaskCompleted, func(n string) *workflowservice.RespondActivityTaskCompletedRequest {
			return &workflowservice.RespondActivityTaskCompletedRequest{Namespace: n, TaskToken: []byte("x")}
		}),
		public("StartWorkflowExecution", workflows.StartWorkflowExecution, func(n string) *workflowservice.StartWorkflowExecutionRequest {
			return &workflowservice.StartWorkflowExecutionRequest{Namespace: n, WorkflowId: "started", TaskQueue: queue, WorkflowType: &commonpb.WorkflowType{Name: "x"}}
		}),
		public("SignalWorkflowExecution", workflows.SignalWorkflowExecution, func(n string) *workflowservice.SignalWorkflowExecutionRequest {
			return &workflowservice.SignalWorkflowExecutionRequest{Namespace: n, WorkflowExecution: execution, SignalName: "s"}
		}),
	}
}

func reads() []call {
	execution := &commonpb.WorkflowExecution{WorkflowId: "none"}
	return []call{
		public("DescribeNamespace", workflows.DescribeNamespace, func(n string) *workflowservice.DescribeNamespaceRequest {
			return &workflowservice.DescribeNamespaceRequest{Namespace: n}
		}),
		public("ListWorkflowExecutions", workflows.ListWorkflowExecutions, func(n string) *workflowservice.ListWorkflowExecutionsRequest {
			return &workflowservice.ListWorkflowExecutionsRequest{Namespace: n}
		}),
		public("DescribeWorkflowExecution", workflows.DescribeWorkflowExecution, func(n string) *workflowservice.DescribeWorkflowExecutionRequest {
			return &workflowservice.DescribeWorkflowExecutionRequest{Namespace: n, Execution: execution}
		}),
		public("GetWorkflowExecutionHistory", workflows.GetWorkflowExecutionHistory, func(n string) *workflowservice.GetWorkflowExecutionHistoryRequest {
			return &workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: n, Execution: execution}
		}),
	}
}

func rest() []call {
	return []call{
		public("ListNamespaces", workflows.ListNamespaces, func(string) *workflowservice.ListNamespacesRequest {
			return &workflowservice.ListNamespacesRequest{}
		}),
		public("RegisterNamespace", workflows.RegisterNamespace, func(string) *workflowservice.RegisterNamespaceRequest {
			return &workflowservice.RegisterNamespaceRequest{Namespace: "another"}
		}),
		public("UpdateNamespace", workflows.UpdateNamespace, func(n string) *workflowservice.UpdateNamespaceRequest {
			return &workflowservice.UpdateNamespaceRequest{Namespace: n}
		}),
		public("CreateSchedule", workflows.CreateSchedule, func(n string) *workflowservice.CreateScheduleRequest {
			return &workflowservice.CreateScheduleRequest{Namespace: n, ScheduleId: "s"}
		}),
		public("StartBatchOperation", workflows.StartBatchOperation, func(n string) *workflowservice.StartBatchOperationRequest {
			return &workflowservice.StartBatchOperationRequest{Namespace: n}
		}),
		public("DeleteWorkflowExecution", workflows.DeleteWorkflowExecution, func(n string) *workflowservice.DeleteWorkflowExecutionRequest {
			return &workflowservice.DeleteWorkflowExecutionRequest{Namespace: n}
		}),
		{name: "AddSearchAttributes", do: func(ctx context.Context, conn *grpc.ClientConn, n string) error {
			_, err := operatorservice.NewOperatorServiceClient(conn).AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: n})
			return err
		}},
		{name: "DeleteNamespace", do: func(ctx context.Context, conn *grpc.ClientConn, n string) error {
			_, err := operatorservice.NewOperatorServiceClient(conn).DeleteNamespace(ctx, &operatorservice.DeleteNamespaceRequest{Namespace: n})
			return err
		}},
		{name: "ListNexusEndpoints", do: func(ctx context.Context, conn *grpc.ClientConn, _ string) error {
			_, err := operatorservice.NewOperatorServiceClient(conn).ListNexusEndpoints(ctx, &operatorservice.ListNexusEndpointsRequest{})
			return err
		}},
		{name: "AdminService", do: func(ctx context.Context, conn *grpc.ClientConn, _ string) error {
			_, err := adminservice.NewAdminServiceClient(conn).DescribeCluster(ctx, &adminservice.DescribeClusterRequest{})
			return err
		}},
	}
}

// refused says whether a call was turned away for who made it. A poll that
// waits, or a workflow that is not there, was let in. Only a poll that is
// expected to be let in is cut short: a slow machine refuses late.
func refused(t *testing.T, conn *grpc.ClientConn, bearer, namespace string, c call, expected bool) bool {
	t.Helper()
	limit := 30 * time.Second
	if strings.HasPrefix(c.name, "Poll") && !expected {
		limit = 500 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(bearing(t.Context(), bearer), limit)
	defer cancel()
	return status.Code(c.do(ctx, conn, namespace)) == codes.PermissionDenied
}

// Every kind of token, in its own namespace and in another organization's:
// what is not granted is refused.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	onBoth(t, whoMayDoWhat)
}

func whoMayDoWhat(t *testing.T, shared bench) {
	t.Helper()
	own, other := newCell(t, shared), newCell(t, shared)
	conn := raw(t, shared.engine.Frontend())
	stranger, err := token.NewSigner()
	require.NoError(t, err)
	expired, err := shared.signer.Mint(token.Claims{Subject: "x", Role: token.RoleCell, Namespaces: []string{own.org}, Expires: time.Now().Add(-time.Hour)})
	if err != nil {
		// A signer that refuses to mint it is as good.
		expired = "expired"
	}
	for _, who := range []struct {
		name, bearer        string
		works, reads, other bool
	}{
		{name: "nobody"},
		{name: "garbage", bearer: "garbage"},
		{name: "another key's token", bearer: mint(t, stranger, token.RoleSystem)},
		{name: "expired", bearer: expired},
		{name: "cell", bearer: mint(t, shared.signer, token.RoleCell, own.org), works: true, reads: true},
		{name: "operator", bearer: mint(t, shared.signer, token.RoleOperator, own.org), reads: true},
	} {
		t.Run(who.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range works() {
				signal := c.name == "SignalWorkflowExecution" && who.name == "operator"
				want := !who.works && !signal
				assert.Equal(t, want, refused(t, conn, who.bearer, own.org, c, want), "%s in its own namespace", c.name)
				assert.True(t, refused(t, conn, who.bearer, other.org, c, true), "%s in another's", c.name)
				// A malformed task token is refused before anybody is asked who they are.
				assert.True(t, c.name == "RespondActivityTaskCompleted" || refused(t, conn, who.bearer, "", c, true), "%s in no namespace", c.name)
			}
			for _, c := range reads() {
				assert.Equal(t, !who.reads, refused(t, conn, who.bearer, own.org, c, !who.reads), "%s in its own namespace", c.name)
				assert.True(t, refused(t, conn, who.bearer, other.org, c, true), "%s in another's", c.name)
			}
			for _, c := range rest() {
				assert.True(t, refused(t, conn, who.bearer, own.org, c, true), c.name)
				assert.True(t, refused(t, conn, who.bearer, other.org, c, true), c.name)
			}
		})
	}
}

// A namespace's id is another name of it: it opens nothing that the name does not.
func TestNamespaceByID(t *testing.T) {
	t.Parallel()
	own, other := newCell(t, shared), newCell(t, shared)
	about, err := system(t, shared).WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: other.org})
	require.NoError(t, err)
	conn := raw(t, shared.engine.Frontend())
	for _, name := range []string{"", own.org, other.org} {
		c := public("DescribeNamespace", workflows.DescribeNamespace, func(n string) *workflowservice.DescribeNamespaceRequest {
			return &workflowservice.DescribeNamespaceRequest{Namespace: n, Id: about.GetNamespaceInfo().GetId()}
		})
		assert.True(t, refused(t, conn, mint(t, shared.signer, token.RoleCell, own.org), name, c, true), "as %q", name)
		assert.True(t, refused(t, conn, mint(t, shared.signer, token.RoleOperator, own.org), name, c, true), "as %q", name)
	}
	shared.record.awaits(t, own.org, map[string]int64{"DescribeNamespace": 6})
	require.Empty(t, shared.record.refused(other.org))
}

// A task of one namespace is not completed by another's cell, even when it
// learns the task's token; it does not learn whether there is such a namespace.
func TestTaskTokenOfAnotherNamespace(t *testing.T) {
	t.Parallel()
	own, other := newCell(t, shared), newCell(t, shared)
	_, err := other.client(t, shared).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "car_1", TaskQueue: task.Queue}, greeting, "x", false)
	require.NoError(t, err)
	conn := raw(t, shared.engine.Frontend())
	services := workflowservice.NewWorkflowServiceClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	theirs := bearing(ctx, mint(t, shared.signer, token.RoleCell, other.org))
	polled, err := services.PollWorkflowTaskQueue(theirs, &workflowservice.PollWorkflowTaskQueueRequest{
		Namespace: other.org, TaskQueue: &taskqueuepb.TaskQueue{Name: task.Queue}, Identity: "test",
	})
	require.NoError(t, err)
	require.NotEmpty(t, polled.GetTaskToken())

	ours := bearing(ctx, mint(t, shared.signer, token.RoleCell, own.org))
	for _, namespace := range []string{own.org, other.org, ""} {
		_, err = services.RespondWorkflowTaskCompleted(ours, &workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: namespace, TaskToken: polled.GetTaskToken()})
		require.Error(t, err, "as %q", namespace)
		_, err = services.RespondWorkflowTaskFailed(ours, &workflowservice.RespondWorkflowTaskFailedRequest{Namespace: namespace, TaskToken: polled.GetTaskToken()})
		require.Error(t, err, "as %q", namespace)
	}
	about, err := services.DescribeNamespace(theirs, &workflowservice.DescribeNamespaceRequest{Namespace: other.org})
	require.NoError(t, err)
	for _, id := range []string{about.GetNamespaceInfo().GetId(), nobodysID} {
		activity, err := tasktoken.NewSerializer().Serialize(&tokenspb.Task{NamespaceId: id, WorkflowId: "car_1"})
		require.NoError(t, err)
		_, err = services.RespondActivityTaskCompleted(ours, &workflowservice.RespondActivityTaskCompletedRequest{Namespace: own.org, TaskToken: activity})
		require.Equal(t, codes.PermissionDenied, status.Code(err), "%v", err)
		query, err := tasktoken.NewSerializer().SerializeQueryTaskToken(&tokenspb.QueryTask{NamespaceId: id, TaskQueue: task.Queue})
		require.NoError(t, err)
		_, err = services.RespondQueryTaskCompleted(ours, &workflowservice.RespondQueryTaskCompletedRequest{Namespace: own.org, TaskToken: query})
		require.Equal(t, codes.PermissionDenied, status.Code(err), "%v", err)
	}
	shared.record.awaits(t, own.org, map[string]int64{
		"RespondWorkflowTaskCompleted": 3, "RespondWorkflowTaskFailed": 3, "RespondActivityTaskCompleted": 2, "RespondQueryTaskCompleted": 2,
	})
	require.Empty(t, shared.record.refused(other.org))
	_, err = services.RespondWorkflowTaskCompleted(theirs, &workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: other.org, TaskToken: polled.GetTaskToken()})
	require.NoError(t, err)
}

// Not even a system token reaches the server's administrative service.
func TestSystemIsNotAdmin(t *testing.T) {
	t.Parallel()
	conn := raw(t, shared.engine.Frontend())
	_, err := adminservice.NewAdminServiceClient(conn).DescribeCluster(bearing(t.Context(), mint(t, shared.signer, token.RoleSystem)), &adminservice.DescribeClusterRequest{})
	assert.Equal(t, codes.PermissionDenied, status.Code(err))
	_, err = workflowservice.NewWorkflowServiceClient(conn).ListNamespaces(bearing(t.Context(), mint(t, shared.signer, token.RoleSystem)), &workflowservice.ListNamespacesRequest{})
	require.NoError(t, err)
}
