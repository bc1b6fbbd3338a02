package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/task"
	"github.com/tenonhq/tenon/schema/token"
)

// methods are all unary methods that the frontend serves.
func methods(t *testing.T) []protoreflect.MethodDescriptor {
	t.Helper()
	var out []protoreflect.MethodDescriptor
	for _, name := range []protoreflect.FullName{
		"temporal.api.workflowservice.v1.WorkflowService", "temporal.api.operatorservice.v1.OperatorService", "temporal.server.api.adminservice.v1.AdminService",
	} {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
		require.NoError(t, err)
		service, ok := d.(protoreflect.ServiceDescriptor)
		require.True(t, ok)
		for i := range service.Methods().Len() {
			if m := service.Methods().Get(i); !m.IsStreamingClient() && !m.IsStreamingServer() {
				out = append(out, m)
			}
		}
	}
	require.Greater(t, len(out), 150)
	return out
}

// workflowService begins the names of its methods.
const workflowService = "temporal.api.workflowservice.v1.WorkflowService."

// nobodysID is the id of no namespace and of no run.
const nobodysID = "7a4c9f2e-5d1b-4e08-9c36-b0f1a2d3e4c5"

// names are what a request names, by the name of the field.
type names map[string]string

// fill sets every field of a message, and of those in it, that names something.
func fill(m protoreflect.Message, with names, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		value, ok := with[string(f.Name())]
		switch {
		case f.IsList() || f.IsMap():
		case f.Kind() == protoreflect.StringKind && ok:
			m.Set(f, protoreflect.ValueOfString(value))
		case f.Kind() == protoreflect.BytesKind && ok:
			m.Set(f, protoreflect.ValueOfBytes([]byte(value)))
		case f.Kind() == protoreflect.MessageKind && depth > 0 && f.ContainingOneof() == nil:
			fill(m.Mutable(f).Message(), with, depth-1)
		}
	}
}

// ask makes one call and tells how it ended, without what the caller named.
func ask(t *testing.T, conn *grpc.ClientConn, bearer string, m protoreflect.MethodDescriptor, with names) (codes.Code, string) {
	t.Helper()
	request := dynamicpb.NewMessage(m.Input())
	fill(request, with, 2)
	ctx, cancel := context.WithTimeout(bearing(t.Context(), bearer), 10*time.Second)
	defer cancel()
	err := conn.Invoke(ctx, "/"+string(m.Parent().FullName())+"/"+string(m.Name()), request, dynamicpb.NewMessage(m.Output()))
	text := status.Convert(err).Message()
	for _, value := range with {
		text = strings.ReplaceAll(text, value, "…")
	}
	return status.Code(err), text
}

// Every method that the frontend has is asked with another organization's
// names - its namespace by name and by id, its workflow, its run, a task's token
// of it - by a cell and by an operator: it is refused, and in the same words
// whether there is such a namespace or not.
func TestEveryMethodWithAnothersNames(t *testing.T) {
	t.Parallel()
	onBoth(t, everyMethodWithAnothersNames)
}

func everyMethodWithAnothersNames(t *testing.T, shared bench) {
	t.Helper()
	own, other := newCell(t, shared), newCell(t, shared)
	run, err := other.client(t, shared).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "car_theirs", TaskQueue: task.Queue}, greeting, "x", false)
	require.NoError(t, err)
	about, err := system(t, shared).WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: other.org})
	require.NoError(t, err)
	conn := raw(t, shared.engine.Frontend())
	patience, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	polled, err := workflowservice.NewWorkflowServiceClient(conn).PollWorkflowTaskQueue(bearing(patience, mint(t, shared.signer, token.RoleCell, other.org)),
		&workflowservice.PollWorkflowTaskQueueRequest{Namespace: other.org, TaskQueue: &taskqueuepb.TaskQueue{Name: task.Queue}, Identity: "test"})
	require.NoError(t, err)

	named := func(namespace, id string) names {
		return names{
			"namespace": namespace, "namespace_id": id, "id": id, "workflow_id": run.GetID(), "run_id": run.GetRunID(),
			"task_token": string(polled.GetTaskToken()), "name": task.Queue, "identity": "test", "signal_name": "no-signal", "query_type": "no-query", "schedule_id": "no-schedule",
		}
	}
	theirs, nobodys := named(other.org, about.GetNamespaceInfo().GetId()), named(schema.NewID(schema.PrefixOrganization), nobodysID)
	open := map[string]bool{"GetSystemInfo": true, "GetClusterInfo": true}
	// What only asks, and names nobody, is refused and not counted.
	idle := map[string]bool{workflowService + "ListNamespaces": true, workflowService + "GetSearchAttributes": true}
	attempts := map[string]int64{}
	bearers := map[string]string{
		"cell": mint(t, shared.signer, token.RoleCell, own.org), "operator": mint(t, shared.signer, token.RoleOperator, own.org), "nobody": "",
	}
	for role, bearer := range bearers {
		for _, m := range methods(t) {
			code, text := ask(t, conn, bearer, m, theirs)
			absent, same := ask(t, conn, bearer, m, nobodys)
			assert.Equal(t, absent, code, "%s %s: %s", role, m.Name(), text)
			assert.Equal(t, same, text, "%s %s", role, m.Name())
			if open[string(m.Name())] {
				continue
			}
			assert.Equal(t, codes.PermissionDenied, code, "%s %s: %s", role, m.Name(), text)
			if role != "nobody" && !idle[string(m.FullName())] {
				attempts[string(m.Name())] += 2
			}
		}
	}

	// In its own namespace, another's workflow is one that nobody has.
	inOwn, inOwnAbsent := named(own.org, ""), named(own.org, "")
	for _, n := range []names{inOwn, inOwnAbsent} {
		delete(n, "namespace_id")
		delete(n, "id")
		delete(n, "task_token")
	}
	inOwnAbsent["workflow_id"], inOwnAbsent["run_id"] = "car_nobodys", nobodysID
	for _, m := range methods(t) {
		switch m.Name() {
		case "DescribeWorkflowExecution", "GetWorkflowExecutionHistory", "SignalWorkflowExecution", "TerminateWorkflowExecution", "RequestCancelWorkflowExecution":
			for _, role := range []string{"cell", "operator"} {
				code, text := ask(t, conn, bearers[role], m, inOwn)
				absent, same := ask(t, conn, bearers[role], m, inOwnAbsent)
				assert.Equal(t, codes.NotFound, code, "%s %s: %s", role, m.Name(), text)
				assert.Equal(t, absent, code, m.Name())
				assert.Equal(t, same, text, m.Name())
			}
			attempts[string(m.Name())] += 2 // The operator's.
		}
	}

	// All of it is on the own record, and nothing on the other's.
	shared.record.awaits(t, own.org, attempts)
	require.Empty(t, shared.record.refused(other.org))
	state, err := other.client(t, shared).DescribeWorkflowExecution(t.Context(), run.GetID(), run.GetRunID())
	require.NoError(t, err)
	require.Nil(t, state.GetWorkflowExecutionInfo().GetCloseTime(), "the other's workflow goes on")
}
