package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/server/common/api"
	"go.temporal.io/server/common/authorization"
	"google.golang.org/grpc"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/token"
)

// Act is a call that changes something, or refused ones that are alike, of a
// token that is bound to an organization.
type Act struct {
	// Token is the caller's own, by which the recorder shows whose act it is.
	Token schema.Secret
	// Organization is the caller's, whose record the act stands on.
	Organization string
	// Method is the name of the method, such as "TerminateWorkflowExecution".
	Method string
	// Namespace is the one that was named; empty of refused calls, who may have
	// named anything.
	Namespace string
	// Workflow and Run are what it was done to, where the call names them.
	Workflow, Run string
	Allowed       bool
	// Count is how many refused calls these are.
	Count int64
}

// Recorder puts acts on the record.
type Recorder interface {
	// Record returns when the act is on disk, or, of refused ones, counted.
	Record(ctx context.Context, a Act) error
}

const (
	// recordPatience bounds how long an operator waits for the record.
	recordPatience = 5 * time.Second
	// notRecorded is what a caller is told whose act could not be recorded.
	notRecorded = "the call could not be put on the record, so it was not made; is the API running?"
)

// record keeps what people do with the engine's own tools.
type record struct {
	to       Recorder
	log      *slog.Logger
	refusals *refusals
}

// newRecord returns a record that end ends.
func newRecord(c Config) *record {
	return &record{to: c.Recorder, log: c.Logger, refusals: newRefusals(c.Recorder, c.Logger)}
}

// end puts on the record what is not on it yet.
func (r *record) end(ctx context.Context) { r.refusals.end(ctx) }

// admit puts an allowed call on the record, before it is allowed (invariant 8).
// Without a record there is no act.
func (r *record) admit(ctx context.Context, caller *authorization.Claims, target *authorization.CallTarget) bool {
	b, ok := bound(caller)
	if !ok || b.claims.Role != token.RoleOperator || readOnly(target.APIName) {
		return true
	}
	if r.to == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, recordPatience)
	defer cancel()
	if err := r.to.Record(ctx, actOf(b, target)); err != nil {
		r.log.WarnContext(ctx, "an operator's call could not be recorded and was refused", "error", err)
		return false
	}
	return true
}

// refuse counts a refused call, unless it only asked, and about its own
// namespace by name or about none: tools try what they may do.
func (r *record) refuse(caller *authorization.Claims, target *authorization.CallTarget) {
	b, ok := bound(caller)
	if !ok || (readOnly(target.APIName) && (target.Namespace == "" || b.claims.Opens(target.Namespace)) && !byID(target)) {
		return
	}
	r.count(b, target.APIName)
}

// missing is a server's interceptor that counts what an operator asked for in
// their own namespace and is not there: it may be in another's. A cell asks for
// what has ended meanwhile, as part of its work.
func (r *record) missing(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	answer, err := handle(ctx, request)
	if absent := (*serviceerror.NotFound)(nil); errors.As(err, &absent) {
		caller, _ := ctx.Value(authorization.MappedClaims).(*authorization.Claims)
		if b, ok := bound(caller); ok && b.claims.Role == token.RoleOperator {
			r.count(b, info.FullMethod)
		}
	}
	return answer, err
}

func (r *record) count(b bearer, apiName string) {
	if r.to == nil {
		return
	}
	r.refusals.add(refusal{
		organization: b.claims.Namespaces[0], role: b.claims.Role, subject: b.claims.Subject, method: api.MethodName(apiName),
	}, b, 1)
}

// login puts the login to the web UI on the record of each organization that
// the token opens.
func (r *record) login(ctx context.Context, text string, claims token.Claims) error {
	if r.to == nil {
		return schema.Errorf(schema.CodeUnavailable, "the engine has no record")
	}
	ctx, cancel := context.WithTimeout(ctx, recordPatience)
	defer cancel()
	for _, organization := range claims.Namespaces {
		err := r.to.Record(ctx, Act{
			Token: schema.NewSecret([]byte(text)), Organization: organization, Method: "Login", Namespace: organization, Allowed: true,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// bound returns the claims of a token that belongs to an organization.
func bound(c *authorization.Claims) (bearer, bool) {
	b, ok := bearerOf(c)
	return b, ok && b.claims.Role != token.RoleSystem && len(b.claims.Namespaces) > 0
}

func readOnly(apiName string) bool {
	return api.GetMethodMetadata(apiName).Access == api.AccessReadOnly
}

// actOf is the act of an allowed call, which named a namespace of the token's.
func actOf(b bearer, target *authorization.CallTarget) Act {
	a := Act{Token: b.token, Organization: target.Namespace, Method: api.MethodName(target.APIName), Namespace: target.Namespace, Allowed: true}
	var execution *commonpb.WorkflowExecution
	switch request := target.Request.(type) {
	case interface {
		GetWorkflowExecution() *commonpb.WorkflowExecution
	}:
		execution = request.GetWorkflowExecution()
	case interface {
		GetExecution() *commonpb.WorkflowExecution
	}:
		execution = request.GetExecution()
	}
	a.Workflow, a.Run = execution.GetWorkflowId(), execution.GetRunId()
	return a
}
