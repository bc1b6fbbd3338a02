package token

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
)

// fileLimit bounds a key file.
const fileLimit = 4096

// Signer mints tokens. It redacts itself; the key stands behind two pointers,
// because package fmt follows one where it cannot call a method.
type Signer struct {
	hidden
	key **ed25519.PrivateKey
}

func newSigner(key ed25519.PrivateKey) Signer {
	p := &key
	return Signer{key: &p}
}

// NewSigner makes a signing key at random.
func NewSigner() (Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Signer{}, schema.Errorf(schema.CodeInternal, "no randomness: %w", err)
	}
	return newSigner(key), nil
}

// LoadSigner reads a signing key from a 0600 file: its 32-byte seed in standard base64.
func LoadSigner(path string) (Signer, error) {
	text, err := keyfile.ReadPrivate(path, fileLimit)
	if err != nil {
		return Signer{}, err
	}
	defer clear(text)
	seed := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	defer clear(seed)
	n, err := base64.StdEncoding.Strict().Decode(seed, bytes.TrimSpace(text))
	if err != nil || n != ed25519.SeedSize {
		return Signer{}, schema.Errorf(schema.CodeInvalid, "key file %s does not hold a signing key", path)
	}
	return newSigner(ed25519.NewKeyFromSeed(seed[:n])), nil
}

// EnsureSigner reads a signing key, or makes one where there is none. Of
// several that make it at once, all get the same.
func EnsureSigner(path string) (Signer, error) {
	s, err := LoadSigner(path)
	if schema.CodeOf(err) != schema.CodeNotFound {
		return s, err
	}
	if s, err = NewSigner(); err != nil {
		return s, err
	}
	seed := (*s.key).Seed()
	defer clear(seed)
	text := append(base64.StdEncoding.AppendEncode(nil, seed), '\n')
	defer clear(text)
	created, err := keyfile.Create(path, text, 0o600)
	if err != nil {
		return Signer{}, err
	}
	if !created {
		return LoadSigner(path)
	}
	return s, nil
}

// Verifier returns the public half.
func (s Signer) Verifier() Verifier {
	if s.key == nil {
		return Verifier{}
	}
	public, _ := (*s.key).Public().(ed25519.PublicKey)
	return Verifier{public}
}

// Stale tells whether a token that its maker made at the one time is to be made
// anew at the other: half of its life is over, or the clock was set back since.
// Times without a monotonic reading tell of a clock that was set forward, too.
func Stale(made, now time.Time, life time.Duration) bool {
	return now.Before(made) || now.Sub(made) >= life/2
}

// Mint signs a token, good for at most [MaxLife].
func (s Signer) Mint(c Claims) (string, error) {
	if s.key == nil {
		return "", schema.Errorf(schema.CodeInternal, "there is no signing key")
	}
	if err := c.check(); err != nil {
		return "", err
	}
	now := time.Now()
	if c.Expires.IsZero() || c.Expires.Sub(now) > MaxLife {
		return "", schema.Errorf(schema.CodeInvalid, "a token must expire, within %s", MaxLife).At("/expires")
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, wire{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: c.Subject,
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(c.Expires),
		},
		Role: c.Role, Namespaces: c.Namespaces,
	}).SignedString(**s.key)
	if err != nil {
		return "", schema.Errorf(schema.CodeInternal, "a token could not be signed: %w", err)
	}
	// What Verify would not parse is not handed out.
	if len(signed) > maxToken {
		return "", schema.Errorf(schema.CodeTooLarge, "a token names too many namespaces").At("/namespaces")
	}
	return signed, nil
}
