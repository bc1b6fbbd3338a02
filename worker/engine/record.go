package engine

import (
	"context"
	"log/slog"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/server/common/api"
	"go.temporal.io/server/common/authorization"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/token"
)

// Act is a call that changes something, or one that was refused, of a token
// that is bound to an organization.
type Act struct {
	// Token is the caller's own, by which the recorder shows whose act it is.
	Token schema.Secret
	// Organization is the caller's, whose record the act stands on.
	Organization string
	// Method is the name of the method, such as "TerminateWorkflowExecution".
	Method string
	// Namespace is the one that was named; of a refused call, maybe another's.
	Namespace string
	// Workflow and Run are what it was done to, where the call names them.
	Workflow, Run string
	Allowed       bool
}

// Recorder puts acts on the record.
type Recorder interface {
	// Record returns when the act is on disk, or, of a refused one, counted.
	Record(ctx context.Context, a Act) error
}

const (
	// recordPatience bounds how long an operator waits for the record.
	recordPatience = 5 * time.Second
	// refusalsAtOnce bounds the refused calls that are being recorded. They are
	// counts: one more or less tells nothing else.
	refusalsAtOnce = 8
	// notRecorded is what a caller is told whose act could not be recorded.
	notRecorded = "the call could not be put on the record, so it was not made; is the API running?"
)

// record keeps what people do with the engine's own tools.
type record struct {
	to       Recorder
	log      *slog.Logger
	refusals chan struct{}
}

func newRecord(c Config) *record {
	return &record{to: c.Recorder, log: c.Logger, refusals: make(chan struct{}, refusalsAtOnce)}
}

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
	if err := r.to.Record(ctx, actOf(b, target, true)); err != nil {
		r.log.WarnContext(ctx, "an operator's call could not be recorded and was refused", "error", err)
		return false
	}
	return true
}

// refuse counts a refused call, unless it only asked about its own namespace
// or about none. It does not keep the caller waiting.
func (r *record) refuse(ctx context.Context, caller *authorization.Claims, target *authorization.CallTarget) {
	b, ok := bound(caller)
	if !ok || r.to == nil || (readOnly(target.APIName) && (target.Namespace == "" || b.claims.Opens(target.Namespace))) {
		return
	}
	select {
	case r.refusals <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-r.refusals }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordPatience)
		defer cancel()
		if err := r.to.Record(ctx, actOf(b, target, false)); err != nil {
			r.log.WarnContext(ctx, "a refused call could not be recorded", "error", err)
		}
	}()
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

func actOf(b bearer, target *authorization.CallTarget, allowed bool) Act {
	method := target.APIName[strings.LastIndexByte(target.APIName, '/')+1:]
	a := Act{Token: b.token, Organization: b.claims.Namespaces[0], Method: method, Namespace: target.Namespace, Allowed: allowed}
	if allowed {
		// One that was let in named a namespace of the token's.
		a.Organization = target.Namespace
	}
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
