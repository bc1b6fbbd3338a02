package seal

import (
	"bytes"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/hkdf"

	"crypto/sha256"

	"github.com/tenonhq/tenon/schema"
)

// SealCredentialAgain seals the plaintext of a credential, as it was opened, to
// the pair that follows the one it was sealed to. It overwrites plain.
func SealCredentialAgain(to PublicKey, plain []byte) ([]byte, error) {
	if !bytes.HasPrefix(plain, []byte(CredentialMagic)) {
		clear(plain)
		return nil, schema.Errorf(schema.CodeRefused, "not a credential")
	}
	return sealTo(to, SuiteCredential, plain)
}

// Derive is a data key that only the holder of the private key can have: with
// it he leaves word to himself. The label says what for.
func (k PrivateKey) Derive(label string) (DataKey, error) {
	raw := make([]byte, chacha20poly1305.KeySize)
	defer clear(raw)
	if _, err := hkdf.New(sha256.New, k.Reveal(), nil, []byte(label)).Read(raw); err != nil {
		return DataKey{}, schema.Errorf(schema.CodeInternal, "no key could be derived: %w", err)
	}
	return ParseDataKey(raw)
}
