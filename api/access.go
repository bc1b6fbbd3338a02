package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/token"
)

// caller is who asks, where, and what was opened for it.
type caller struct {
	// actor stands in the audit log: a key's id, a source's id, an operator.
	actor string
	// org is empty for a platform key.
	org         string
	permissions []string
	// bound is the namespace id that the key is bound to, empty for all.
	bound string
	// admitted is when the key was found good; zero for who has none.
	admitted  time.Time
	namespace store.Namespace
	cell      *cell
}

type callerKey struct{}

func (c *caller) platform() bool { return c.org == "" }

// admit is the middleware that every operation passes. Deny by default: what
// it does not recognise it refuses.
func (s *Server) admit(hc huma.Context, next func(huma.Context)) {
	op := hc.Operation()
	a, ok := op.Metadata[metaAccess].(access)
	if !ok {
		s.refuse(hc, schema.Errorf(schema.CodeForbidden, "the operation has no access rule"))
		return
	}
	release, err := s.admission.enter("", bodySize(hc, op.MaxBodyBytes))
	if err != nil {
		s.refuse(hc, err)
		return
	}
	defer release()
	c, leave, err := s.identify(hc, a)
	if err != nil {
		if c != nil {
			s.refused(c, op.OperationID, err)
		} else if schema.CodeOf(err) == schema.CodeUnauthenticated {
			s.refusals.count(refusal{actor: actorUnknown, action: actionRefusedLogin}, s.now())
		}
		s.refuse(hc, err)
		return
	}
	defer leave()
	note(hc.Context(), c)
	next(huma.WithValue(hc, callerKey{}, c))
}

// bodySize is what a request's body may take of memory.
func bodySize(hc huma.Context, limit int64) int64 {
	if m := hc.Method(); m == http.MethodGet || m == http.MethodDelete {
		return 0
	}
	if n, ok := contentLength(hc); ok && n < limit {
		return n
	}
	return limit
}

func (s *Server) refuse(hc huma.Context, err error) {
	p := s.failed(hc.Context(), err)
	for name, values := range p.header {
		for _, v := range values {
			hc.SetHeader(name, v)
		}
	}
	writeProblem(hc, p)
}

// identify finds out who asks and whether it may; leave gives back what was
// opened. With an error it returns the caller all the same, if that is known.
func (s *Server) identify(hc huma.Context, a access) (c *caller, leave func(), err error) {
	ctx := hc.Context()
	nothing := func() {}
	if a.scope == scopePublic {
		return &caller{}, nothing, nil
	}
	credential, err := bearer(hc)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case a.scope == scopeEngine:
		c, err = s.bearerOf(hc, credential, token.RoleOperator, token.RoleCell)
	case a.scope == scopeOperator && !strings.HasPrefix(credential, keyPrefix):
		c, err = s.bearerOf(hc, credential, token.RoleOperator)
	default:
		c, err = s.holder(ctx, credential)
	}
	if err != nil {
		return c, nil, err
	}
	if err := permit(c, a); err != nil {
		return c, nil, err
	}
	if c.platform() || a.closed {
		return c, nothing, nil
	}
	exit, err := s.admission.enter(c.org, 0)
	if err != nil {
		return c, nil, err
	}
	if a.scope == scopeAccount {
		return c, exit, nil
	}
	opened, release, err := s.cells.acquire(ctx, c.org)
	if err != nil {
		exit()
		return c, nil, err
	}
	c.cell = opened
	leave = func() { release(); exit() }
	if err := s.place(hc, a, c); err != nil {
		leave()
		return c, nil, err
	}
	return c, leave, nil
}

// bearer returns the credential of the one Authorization header.
func bearer(hc huma.Context) (string, error) {
	values := headers(hc, "Authorization")
	if len(values) != 1 {
		return "", unauthenticated()
	}
	scheme, credential, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || credential == "" {
		return "", unauthenticated()
	}
	return credential, nil
}

// unauthenticated is the same for a missing, unknown, wrong, revoked and
// expired key.
func unauthenticated() error {
	return schema.Errorf(schema.CodeUnauthenticated, "a valid API key is required").
		Advise("Send Authorization: Bearer tk_…")
}

// holder authenticates an API key.
func (s *Server) holder(ctx context.Context, text string) (*caller, error) {
	id, secret, ok := parseKey(text)
	if !ok {
		return nil, unauthenticated()
	}
	now := s.now()
	var stored *store.Key
	switch key, err := s.config.Control.GetKey(ctx, id); schema.CodeOf(err) {
	case "":
		stored = &key
	case schema.CodeNotFound:
	default:
		return nil, err
	}
	if !usable(stored, id, secret, now) {
		return nil, unauthenticated()
	}
	s.touch(stored, now)
	return &caller{actor: id, org: stored.Organization, permissions: stored.Permissions, bound: stored.Namespace, admitted: now}, nil
}

// still refuses a caller whose key was revoked while its request was on its
// way: what takes longer than a revocation waits for proves it again.
func (s *Server) still(ctx context.Context, c *caller) error {
	if c.admitted.IsZero() || s.now().Sub(c.admitted) < settleAfter/2 {
		return nil
	}
	key, err := s.config.Control.GetKey(ctx, c.actor)
	if schema.CodeOf(err) == schema.CodeNotFound || (err == nil && key.RevokedAt != nil) {
		return unauthenticated()
	}
	return err
}

// bearerOf authenticates a token of the engine, of one of the roles, for the
// organization that X-Namespace names, as the engine's own tools send it. One
// that names another is known all the same: it is the caller of the
// organization that its token is good for, and refused there.
func (s *Server) bearerOf(hc huma.Context, text string, roles ...token.Role) (*caller, error) {
	claims, err := s.config.Operators.Verify(text, s.now())
	if err != nil || !slices.Contains(roles, claims.Role) {
		return nil, unauthenticated()
	}
	org, ok := one(headers(hc, namespaceHeader))
	opens := ok && slices.Contains(claims.Namespaces, org)
	if !opens {
		org = claims.Namespaces[0]
	}
	o, err := s.config.Control.GetOrganization(hc.Context(), org)
	switch {
	case schema.CodeOf(err) == schema.CodeNotFound, err == nil && o.TokensNotBefore != nil && claims.IssuedBy(*o.TokensNotBefore):
		return nil, unauthenticated()
	case err != nil:
		return nil, err
	}
	permission := RunsRead
	if slices.Contains(roles, token.RoleCell) {
		permission = engineAct
	}
	c := &caller{actor: string(claims.Role) + ":" + claims.Subject, org: org, permissions: []string{string(permission)}}
	if !opens {
		return c, schema.Errorf(schema.CodeForbidden, "X-Namespace must name an organization of the token")
	}
	return c, nil
}

// permit checks the kind of the key, then its permission.
func permit(c *caller, a access) error {
	ours := false
	switch a.scope {
	case scopePublic, scopeAccount:
		ours = true
	case scopePlatform:
		ours = c.platform()
	case scopeOrganization, scopeNamespace, scopeOperator, scopeEngine:
		ours = !c.platform()
	}
	if !ours || !grants(c.permissions, a.permission) {
		return schema.Errorf(schema.CodeForbidden, "the key may not do this").
			Advise("It takes a key of the right kind with the permission " + string(a.permission) + ".")
	}
	return nil
}

// place finds the namespace that a request is about.
func (s *Server) place(hc huma.Context, a access, c *caller) error {
	switch a.scope {
	case scopeNamespace:
	case scopeOperator:
		// The engine's tools name the organization; a key is for its own only.
		if named := headers(hc, namespaceHeader); len(named) != 1 || named[0] != c.org {
			return schema.Errorf(schema.CodeForbidden, "X-Namespace must name the key's own organization")
		}
		if c.bound != "" {
			return schema.Errorf(schema.CodeForbidden, "a key of one namespace cannot decode what all of them hold")
		}
		return nil
	case scopePublic, scopePlatform, scopeAccount, scopeOrganization, scopeEngine:
		return nil
	}
	named := headers(hc, namespaceHeader)
	if len(named) > 1 {
		return schema.Errorf(schema.CodeInvalid, "X-Namespace must stand once")
	}
	wanted := c.bound
	if wanted == "" {
		if len(named) == 0 || named[0] == "" {
			return schema.Errorf(schema.CodeInvalid, "X-Namespace is required").
				Advise("Name a namespace of the organization, by id or name.")
		}
		wanted = named[0]
	}
	ns, err := c.cell.Door().GetNamespace(hc.Context(), wanted)
	if err != nil {
		return err
	}
	// Refused alike whether the other namespace exists or not.
	if len(named) == 1 && named[0] != ns.ID && named[0] != ns.Name {
		return schema.Errorf(schema.CodeForbidden, "the key is bound to another namespace")
	}
	c.namespace = ns
	return nil
}

// touchEvery bounds how often a key's last use is written.
const touchEvery = time.Minute

// touch records that a key was used, without making the request wait.
func (s *Server) touch(key *store.Key, now time.Time) {
	if key.LastUsedAt != nil && now.Sub(*key.LastUsedAt) < touchEvery {
		return
	}
	if last, ok := s.touched.Load(key.ID); ok {
		if at, ok := last.(time.Time); ok && now.Sub(at) < touchEvery {
			return
		}
	}
	s.touched.Store(key.ID, now)
	s.background(func(ctx context.Context) {
		if err := s.config.Control.TouchKey(ctx, key.ID, now); err != nil {
			s.log.WarnContext(ctx, "a key's last use was not recorded", "key", key.ID, "error", err)
		}
	})
}
