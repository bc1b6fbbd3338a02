package engine

import (
	"strings"
	"time"

	"go.temporal.io/server/common/authorization"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/token"
)

// claimMapper turns the bearer token of a call into claims. It grants nothing
// by itself: the roles of the server's own model stay empty, and the
// authorizer reads our claims from Extensions.
type claimMapper struct {
	verifier Verifier
	now      func() time.Time
}

var _ authorization.ClaimMapper = (*claimMapper)(nil)

// GetClaims implements [authorization.ClaimMapper]. The server does not ask it
// for a call without an authorization header; the authorizer then sees no
// claims at all.
func (m *claimMapper) GetClaims(info *authorization.AuthInfo) (*authorization.Claims, error) {
	scheme, bearer, found := strings.Cut(info.AuthToken, " ")
	if !found || !strings.EqualFold(scheme, "bearer") {
		return nil, schema.Errorf(schema.CodeUnauthenticated, "the authorization header is not a bearer token")
	}
	claims, err := m.verifier.Verify(strings.TrimSpace(bearer), m.now())
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnauthenticated, "the token is not valid: %w", err)
	}
	return &authorization.Claims{
		Subject:    claims.Subject,
		AuthType:   principalType,
		Extensions: claims,
	}, nil
}

// principalType names our tokens in the histories' principals.
const principalType = "tenon"

// ours returns our claims, if the call brought any.
func ours(c *authorization.Claims) (token.Claims, bool) {
	if c == nil || c.AuthType != principalType {
		return token.Claims{}, false
	}
	claims, ok := c.Extensions.(token.Claims)
	return claims, ok
}
