// Package token makes and verifies the tokens that open the engine and the
// codec endpoint: short-lived JWTs (RFC 7519) signed with Ed25519 (RFC 8037).
// Only the host and the operator's command hold the signing key.
//
// It may import schema and schema/keystore.
package token

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
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

const issuer = "tenon"

// maxToken bounds what is parsed.
const maxToken = 4096

// Claims are what a token says.
type Claims struct {
	Subject string
	Role    Role
	// Namespaces of the engine that it opens; ignored for RoleSystem.
	Namespaces []string
	Expires    time.Time
}

// Opens tells whether the token is good for the namespace.
func (c Claims) Opens(namespace string) bool {
	return c.Role == RoleSystem || slices.Contains(c.Namespaces, namespace)
}

type wire struct {
	jwt.RegisteredClaims
	Role       Role     `json:"role"`
	Namespaces []string `json:"ns,omitempty"`
}

// Signer mints tokens.
type Signer struct{ key ed25519.PrivateKey }

// Verifier verifies tokens.
type Verifier struct{ key ed25519.PublicKey }

// NewSigner makes a signing key at random.
func NewSigner() (Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Signer{}, schema.Errorf(schema.CodeInternal, "no randomness: %w", err)
	}
	return Signer{key}, nil
}

// EnsureSigner reads a signing key from a 0600 file, or makes one there.
func EnsureSigner(path string) (Signer, error) {
	s, err := LoadSigner(path)
	if schema.CodeOf(err) != schema.CodeNotFound {
		return s, err
	}
	if s, err = NewSigner(); err != nil {
		return s, err
	}
	return s, keystore.WriteSecretFile(path, []byte(base64.StdEncoding.EncodeToString(s.key.Seed())+"\n"))
}

// LoadSigner reads a signing key: its 32-byte seed in standard base64.
func LoadSigner(path string) (Signer, error) {
	text, err := keystore.ReadSecretFile(path)
	if err != nil {
		return Signer{}, err
	}
	defer clear(text)
	seed, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return Signer{}, schema.Errorf(schema.CodeInvalid, "key file %s does not hold a signing key", path)
	}
	return Signer{ed25519.NewKeyFromSeed(seed)}, nil
}

// Verifier returns the public half.
func (s Signer) Verifier() Verifier {
	return Verifier{s.key.Public().(ed25519.PublicKey)} //nolint:forcetypeassert // Documented by crypto/ed25519.
}

// String redacts.
func (Signer) String() string { return "[redacted]" }

// GoString redacts.
func (Signer) GoString() string { return "[redacted]" }

// Mint signs a token.
func (s Signer) Mint(c Claims) (string, error) {
	signed, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, wire{
		RegisteredClaims: jwt.RegisteredClaims{Issuer: issuer, Subject: c.Subject, ExpiresAt: jwt.NewNumericDate(c.Expires)},
		Role:             c.Role, Namespaces: c.Namespaces,
	}).SignedString(s.key)
	if err != nil {
		return "", schema.Errorf(schema.CodeInternal, "a token could not be signed: %w", err)
	}
	return signed, nil
}

// Verify checks signature, algorithm, issuer and expiry. Its error is
// CodeUnauthenticated and quotes nothing.
func (v Verifier) Verify(text string, now time.Time) (Claims, error) {
	refused := schema.Errorf(schema.CodeUnauthenticated, "the token is not valid, or no longer").
		Advise("Make a new one with: tenon operator-token")
	if len(text) > maxToken || len(v.key) != ed25519.PublicKeySize {
		return Claims{}, refused
	}
	var w wire
	parsed, err := jwt.ParseWithClaims(text, &w, func(*jwt.Token) (any, error) { return v.key, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(issuer), jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(func() time.Time { return now }))
	if err != nil || !parsed.Valid {
		return Claims{}, refused
	}
	switch w.Role {
	case RoleSystem, RoleCell, RoleOperator:
	default:
		return Claims{}, refused
	}
	return Claims{Subject: w.Subject, Role: w.Role, Namespaces: w.Namespaces, Expires: w.ExpiresAt.Time}, nil
}

// WriteVerifier writes the public half in standard base64.
func WriteVerifier(path string, v Verifier) error {
	return keystore.WriteSecretFile(path, []byte(base64.StdEncoding.EncodeToString(v.key)+"\n"))
}

// LoadVerifier reads a public half.
func LoadVerifier(path string) (Verifier, error) {
	text, err := keystore.ReadSecretFile(path)
	if err != nil {
		return Verifier{}, err
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return Verifier{}, schema.Errorf(schema.CodeInvalid, "key file %s does not hold a verification key", path)
	}
	return Verifier{raw}, nil
}
