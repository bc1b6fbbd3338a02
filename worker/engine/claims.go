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
	scheme, text, found := strings.Cut(info.AuthToken, " ")
	if !found || !strings.EqualFold(scheme, "bearer") {
		return nil, schema.Errorf(schema.CodeUnauthenticated, "the authorization header is not a bearer token")
	}
	text = strings.TrimSpace(text)
	claims, err := m.verifier.Verify(text, m.now())
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnauthenticated, "the token is not valid: %w", err)
	}
	return &authorization.Claims{
		Subject:    claims.Subject,
		AuthType:   principalType,
		Extensions: bearer{claims: claims, token: schema.NewSecret([]byte(text))},
	}, nil
}

// principalType names our tokens in the histories' principals.
const principalType = "tenon"

// bearer is a token that a call brought, and what it says.
type bearer struct {
	claims token.Claims
	token  schema.Secret
}

// bearerOf returns our token, if the call brought one.
func bearerOf(c *authorization.Claims) (bearer, bool) {
	if c == nil || c.AuthType != principalType {
		return bearer{}, false
	}
	b, ok := c.Extensions.(bearer)
	return b, ok
}

// ours returns our claims, if the call brought any.
func ours(c *authorization.Claims) (token.Claims, bool) {
	b, ok := bearerOf(c)
	return b.claims, ok
}
