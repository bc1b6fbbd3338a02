package token

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
)

// Verifier verifies tokens. The zero value refuses every one.
type Verifier struct{ key ed25519.PublicKey }

// Verify checks signature, algorithm, issuer, audience, expiry and role. Its
// error is CodeUnauthenticated, always the same, and quotes nothing.
func (v Verifier) Verify(text string, now time.Time) (Claims, error) {
	refused := schema.Errorf(schema.CodeUnauthenticated, "the token is not valid, or no longer").
		Advise("Make a new one with: tenon operator-token")
	if len(text) > maxToken || len(v.key) != ed25519.PublicKeySize {
		return Claims{}, refused
	}
	var w wire
	parsed, err := jwt.ParseWithClaims(text, &w, func(*jwt.Token) (any, error) { return v.key, nil },
		// The one algorithm is named here, never by the token.
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithStrictDecoding(),
		jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(func() time.Time { return now }))
	if err != nil || !parsed.Valid || w.IssuedAt == nil {
		return Claims{}, refused
	}
	c := Claims{Subject: w.Subject, Role: w.Role, Namespaces: w.Namespaces, Expires: w.ExpiresAt.Time, Issued: w.IssuedAt.Time}
	// Times in a token are whole seconds.
	if c.check() != nil || c.Expires.Sub(w.IssuedAt.Time) > MaxLife+time.Second {
		return Claims{}, refused
	}
	return c, nil
}

// WriteVerifier writes the public half in standard base64.
func WriteVerifier(path string, v Verifier) error {
	return keyfile.Replace(path, []byte(base64.StdEncoding.EncodeToString(v.key)+"\n"), 0o644)
}

// LoadVerifier reads a public half. A file that others may write is refused:
// who changes it mints his own tokens.
func LoadVerifier(path string) (Verifier, error) {
	text, err := keyfile.ReadPublic(path, fileLimit)
	if err != nil {
		return Verifier{}, err
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return Verifier{}, schema.Errorf(schema.CodeInvalid, "key file %s does not hold a verification key", path)
	}
	return Verifier{raw}, nil
}
