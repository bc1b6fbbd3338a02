package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
)

// scope says whose an operation is.
type scope string

const (
	// scopePublic asks for no key: health, and webhooks, which their source's
	// verifier admits.
	scopePublic scope = "public"
	// scopePlatform is for platform keys only.
	scopePlatform scope = "platform"
	// scopeAccount is for platform keys, and for organization keys within
	// their own organization.
	scopeAccount scope = "account"
	// scopeOrganization is for organization keys, in no particular namespace.
	scopeOrganization scope = "organization"
	// scopeNamespace is for organization keys, in the namespace that the key
	// is bound to or that X-Namespace names.
	scopeNamespace scope = "namespace"
	// scopeOperator is for operator tokens, and for organization keys.
	scopeOperator scope = "operator"
	// scopeEngine is for tokens that the engine passes on, and for no key.
	scopeEngine scope = "engine"
)

// access is who may call an operation. There is no operation without one: the
// zero value admits nobody.
type access struct {
	scope      scope
	permission Permission
	// cell: the operation needs the organization's cell open. Scopes
	// organization and namespace always do, unless closed.
	closed bool
}

// The extensions of the OpenAPI document that state access; the middleware
// reads the same value, so that the document cannot say otherwise.
const (
	metaAccess          = "access"
	extensionScope      = "x-tenon-scope"
	extensionPermission = "x-tenon-permission"
	namespaceHeader     = "X-Namespace"
)

// handle registers one operation.
func handle[I, O any](s *Server, op huma.Operation, a access, do func(context.Context, *caller, *I) (*O, error)) {
	if op.Metadata == nil {
		op.Metadata = map[string]any{}
	}
	op.Metadata[metaAccess] = a
	if op.Extensions == nil {
		op.Extensions = map[string]any{}
	}
	op.Extensions[extensionScope] = string(a.scope)
	if a.permission != "" {
		op.Extensions[extensionPermission] = string(a.permission)
	}
	if op.MaxBodyBytes == 0 {
		op.MaxBodyBytes = s.config.Limits.Body
	}
	switch a.scope {
	case scopePublic:
		op.Security = []map[string][]string{}
	case scopeOperator:
		op.Security = []map[string][]string{{"key": {}}, {"operator": {}}}
	case scopeEngine:
		op.Security = []map[string][]string{{"operator": {}}}
	case scopePlatform, scopeAccount, scopeOrganization, scopeNamespace:
		op.Security = []map[string][]string{{"key": {}}}
	}
	if a.scope == scopeNamespace {
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: namespaceHeader, In: "header",
			Description: "Namespace, by id or name. A key that is bound to a namespace needs none.",
			Schema:      &huma.Schema{Type: huma.TypeString},
		})
	}
	if op.Errors == nil {
		op.Errors = failures(a, op)
	}
	huma.Register(s.huma, op, func(ctx context.Context, in *I) (*O, error) {
		c, ok := ctx.Value(callerKey{}).(*caller)
		if !ok {
			// Only the middleware puts a caller there: without one nothing is done.
			return nil, problemOf(ctx, schema.Errorf(schema.CodeUnauthenticated, "the caller is not known"))
		}
		if err := s.still(ctx, c); err != nil {
			return nil, s.failed(ctx, err)
		}
		out, err := do(ctx, c, in)
		if err != nil {
			if a.scope != scopePublic {
				s.refused(c, op.OperationID, err)
			}
			return nil, s.failed(ctx, err)
		}
		return out, nil
	})
	if op.RequestBody != nil && op.RequestBody.Content["application/json"] != nil {
		// Where the handler takes the raw body, JSON is still what it takes.
		delete(op.RequestBody.Content, "application/octet-stream")
	}
}

// failed makes the answer of an error and logs what only we should know. An
// error is logged here, once, or answered in full.
func (s *Server) failed(ctx context.Context, err error) *Problem {
	p := problemOf(ctx, err)
	if p.Status >= http.StatusInternalServerError {
		s.log.ErrorContext(ctx, "request failed", "request", p.RequestID, "code", string(p.Code), "error", err)
	}
	return p
}

// failures lists the problems an operation can answer with, for the document.
func failures(a access, op huma.Operation) []int {
	all := []int{http.StatusTooManyRequests, http.StatusServiceUnavailable}
	if a.scope != scopePublic {
		all = append(all, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound)
	}
	if strings.Contains(op.Path, "{event}") || strings.Contains(op.Path, "{run}") || strings.HasSuffix(op.Path, "}/runs") {
		all = append(all, http.StatusGone)
	}
	if op.Method != http.MethodGet {
		all = append(all, http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge)
	}
	return all
}
