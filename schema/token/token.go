package token

import (
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tenonhq/tenon/schema"
)

// Role says what a token may do.
type Role string

// The roles.
const (
	// RoleSystem may do everything: the hosts.
	RoleSystem Role = "system"
	// RoleCell may work in its own namespace: the cell workers.
	RoleCell Role = "cell"
	// RoleOperator may read and steer the workflows of its namespaces, and
	// read their payloads decoded: people.
	RoleOperator Role = "operator"
)

const (
	issuer   = "tenon"
	audience = "tenon-engine"
	// MaxLife bounds how long a token can be good for, and with it how long a
	// revocation must be known.
	MaxLife = 24 * time.Hour
	// maxToken bounds what is parsed.
	maxToken = 4096
)

// Claims are what a token says.
type Claims struct {
	// Subject is who holds it; it stands in histories.
	Subject string
	Role    Role
	// Namespaces of the engine that it opens: exactly one for a cell, at least
	// one for an operator; ignored for RoleSystem.
	Namespaces []string
	Expires    time.Time
	// Issued is when the token was made, in whole seconds. Verify sets it; Mint
	// takes the clock's.
	Issued time.Time
}

// Opens tells whether the token is good for the namespace.
func (c Claims) Opens(namespace string) bool {
	return c.Role == RoleSystem || slices.Contains(c.Namespaces, namespace)
}

func (c Claims) check() error {
	fit := false
	switch c.Role {
	case RoleSystem:
		fit = true
	case RoleCell:
		fit = len(c.Namespaces) == 1
	case RoleOperator:
		fit = len(c.Namespaces) >= 1
	default:
		return schema.Errorf(schema.CodeInvalid, "a token has an unknown role").At("/role")
	}
	if !fit || slices.Contains(c.Namespaces, "") {
		return schema.Errorf(schema.CodeInvalid, "the namespaces of a token do not fit its role").At("/namespaces")
	}
	if c.Subject == "" {
		return schema.Errorf(schema.CodeInvalid, "a token needs a subject").At("/subject")
	}
	return nil
}

// wire is the claims as they stand in a token.
type wire struct {
	jwt.RegisteredClaims
	Role       Role     `json:"role"`
	Namespaces []string `json:"ns,omitempty"`
}
