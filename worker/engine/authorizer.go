package engine

import (
	"context"
	"slices"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/server/common/api"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/rpc/interceptor"
	"go.temporal.io/server/common/tasktoken"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/tenonhq/tenon/schema/token"
)

const (
	workflowService = "/temporal.api.workflowservice.v1.WorkflowService/"
	operatorService = "/temporal.api.operatorservice.v1.OperatorService/"
)

// authorizer decides who may call what: nobody anything, but for what stands
// here. The server's own authorizer knows reader, writer and admin only, and
// its writer may poll as well as terminate. What an operator changes is on the
// record before it is allowed.
type authorizer struct {
	record *record
	// named gives the name of a namespace by its id.
	named func(id string) string
}

var _ authorization.Authorizer = authorizer{}

// Authorize implements [authorization.Authorizer].
func (a authorizer) Authorize(ctx context.Context, caller *authorization.Claims, target *authorization.CallTarget) (authorization.Result, error) {
	if a.allowed(caller, target) {
		if !a.record.admit(ctx, caller, target) {
			return authorization.Result{Decision: authorization.DecisionDeny, Reason: notRecorded}, nil
		}
		result := authorization.Result{Decision: authorization.DecisionAllow}
		if caller != nil {
			result.Principal = &commonpb.Principal{Type: caller.AuthType, Name: caller.Subject}
		}
		return result, nil
	}
	a.record.refuse(caller, target)
	return authorization.Result{Decision: authorization.DecisionDeny}, nil
}

func (a authorizer) allowed(caller *authorization.Claims, target *authorization.CallTarget) bool {
	if target.APIName == healthpb.Health_Check_FullMethodName {
		return true
	}
	if internal(caller) {
		return true
	}
	claims, ok := ours(caller)
	if !ok {
		return false
	}
	switch claims.Role {
	case token.RoleSystem:
		_, api := cut(target.APIName)
		return api != ""
	case token.RoleCell:
		return a.allowedTo(claims, target, cellAnywhere, cellInNamespace)
	case token.RoleOperator:
		return a.allowedTo(claims, target, operatorAnywhere, operatorInNamespace)
	default:
		return false
	}
}

// internal recognizes the server's own services. Their claims are made by the
// internal frontend's mapper, which only peers with the internode certificate
// reach; our mapper never sets System or this type.
func internal(c *authorization.Claims) bool {
	return c != nil && c.AuthType == authorization.InternalPrincipalType && c.System == authorization.RoleAdmin
}

// allowedTo checks a call of a role that is bound to namespaces.
func (a authorizer) allowedTo(claims token.Claims, target *authorization.CallTarget, anywhere map[string]bool, inNamespace func(service, method string) bool) bool {
	if anywhere[target.APIName] {
		return true
	}
	if target.Namespace == "" || !slices.Contains(claims.Namespaces, target.Namespace) {
		return false
	}
	// What is checked above is the name only.
	if byID(target) || !a.ownTask(target) {
		return false
	}
	service, method := cut(target.APIName)
	return inNamespace(service, method)
}

// byID tells whether a call names a namespace by its id: it can be described by
// that as well as by its name.
func byID(target *authorization.CallTarget) bool {
	describe, ok := target.Request.(*workflowservice.DescribeNamespaceRequest)
	return ok && describe.GetId() != ""
}

// ownTask tells whether the task that a call is about, if any, is of the
// namespace that the call names: its token holds the id of one. The server looks
// too, but later, unseen by the record, and in words that tell whether there is
// such a namespace. A token that cannot be read is left to it.
func (a authorizer) ownTask(target *authorization.CallTarget) bool {
	var id string
	switch request := target.Request.(type) {
	case *workflowservice.RespondQueryTaskCompletedRequest:
		if task, err := tasktoken.NewSerializer().DeserializeQueryTaskToken(request.GetTaskToken()); err == nil {
			id = task.GetNamespaceId()
		}
	case interceptor.TaskTokenGetter:
		if task, err := tasktoken.NewSerializer().Deserialize(request.GetTaskToken()); err == nil {
			id = task.GetNamespaceId()
		}
	}
	return id == "" || a.named(id) == target.Namespace
}

// cut splits the name of a method of the public services; for any other
// service, the server's administrative one included, it returns nothing.
func cut(apiName string) (service, method string) {
	for _, s := range []string{workflowService, operatorService} {
		if len(apiName) > len(s) && apiName[:len(s)] == s {
			return s, apiName[len(s):]
		}
	}
	return "", ""
}

// cellAnywhere is what a worker asks that concerns no namespace.
var cellAnywhere = map[string]bool{workflowService + "GetSystemInfo": true}

// cellInNamespace is what a cell's worker and relay call in their own namespace.
func cellInNamespace(service, method string) bool {
	return service == workflowService && cellMethods[method]
}

var cellMethods = map[string]bool{
	"DescribeNamespace": true,

	"PollWorkflowTaskQueue":        true,
	"PollActivityTaskQueue":        true,
	"RespondWorkflowTaskCompleted": true,
	"RespondWorkflowTaskFailed":    true,
	"RespondActivityTaskCompleted": true,
	"RespondActivityTaskFailed":    true,
	"RespondActivityTaskCanceled":  true,
	"RespondQueryTaskCompleted":    true,
	"RecordActivityTaskHeartbeat":  true,
	"RecordWorkerHeartbeat":        true,
	"ResetStickyTaskQueue":         true,
	"ShutdownWorker":               true,

	"StartWorkflowExecution":         true,
	"SignalWorkflowExecution":        true,
	"RequestCancelWorkflowExecution": true,
	"TerminateWorkflowExecution":     true,
	"DescribeWorkflowExecution":      true,
	"ListWorkflowExecutions":         true,
	"CountWorkflowExecutions":        true,
	"GetWorkflowExecutionHistory":    true,
}

// operatorAnywhere is what tools ask before anything else: versions and
// capabilities.
var operatorAnywhere = map[string]bool{
	workflowService + "GetSystemInfo":  true,
	workflowService + "GetClusterInfo": true,
}

// operatorInNamespace is what a person with a tool may do in a namespace of
// theirs: read everything, and signal, cancel and terminate. A poll is not a
// read: it takes work away from the cell.
func operatorInNamespace(service, method string) bool {
	if service == operatorService {
		return method == "ListSearchAttributes"
	}
	switch method {
	case "SignalWorkflowExecution", "RequestCancelWorkflowExecution", "TerminateWorkflowExecution":
		return true
	}
	about := api.GetMethodMetadata(service + method)
	return about.Scope == api.ScopeNamespace && about.Access == api.AccessReadOnly
}
