package token_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/token"
)

func TestRevocations(t *testing.T) {
	at := time.Unix(1_700_000_000, 500_000_000)
	operator := func(issued int64, namespaces ...string) token.Claims {
		return token.Claims{Role: token.RoleOperator, Namespaces: namespaces, Issued: time.Unix(issued, 0)}
	}
	var r token.Revocations
	require.False(t, r.Revoked(operator(1_700_000_000, "a")), "nothing is revoked yet")
	r.Revoke("a", at)
	r.Revoke("a", at.Add(-time.Hour))
	require.Equal(t, at, r.Since("a"), "an earlier one that is told later changes nothing")
	require.Zero(t, r.Since("b"))
	for name, c := range map[string]struct {
		claims  token.Claims
		revoked bool
	}{
		"made before":                  {operator(1_699_999_999, "a"), true},
		"made in the same second":      {operator(1_700_000_000, "a"), true},
		"made after":                   {operator(1_700_000_001, "a"), false},
		"of another":                   {operator(1_699_999_999, "b"), false},
		"of another, too":              {operator(1_699_999_999, "b", "a"), true},
		"a cell's, which is not meant": {token.Claims{Role: token.RoleCell, Namespaces: []string{"a"}, Issued: at.Add(-time.Hour)}, false},
		"a host's, which is not meant": {token.Claims{Role: token.RoleSystem, Issued: at.Add(-time.Hour)}, false},
	} {
		require.Equal(t, c.revoked, r.Revoked(c.claims), name)
	}
}

// A token says when it was made, and only its signer can say so.
func TestIssued(t *testing.T) {
	signer, err := token.NewSigner()
	require.NoError(t, err)
	began := time.Now()
	minted, err := signer.Mint(token.Claims{
		Subject: "x", Role: token.RoleOperator, Namespaces: []string{"a"},
		Expires: began.Add(time.Hour), Issued: began.Add(time.Hour),
	})
	require.NoError(t, err)
	claims, err := signer.Verifier().Verify(minted, time.Now())
	require.NoError(t, err)
	require.WithinDuration(t, began, claims.Issued, 2*time.Second, "the clock's time, not the caller's")
}
