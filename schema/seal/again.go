package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"

	"github.com/tenonhq/tenon/schema"
)

// CredentialAgain seals the plaintext of a credential, as it was opened, to
// the pair that follows the one it was sealed to. It overwrites plain.
func CredentialAgain(to PublicKey, plain []byte) ([]byte, error) {
	if !bytes.HasPrefix(plain, []byte(CredentialMagic)) {
		clear(plain)
		return nil, schema.Errorf(schema.CodeRefused, "not a credential")
	}
	return sealTo(to, SuiteCredential, plain)
}

// Derive is a data key that only a holder of the private key can have, by
// HKDF-SHA256 without a salt. The label says what it is for.
func (k PrivateKey) Derive(label string) (DataKey, error) {
	raw, err := hkdf.Key(sha256.New, k.Reveal(), nil, label, KeySize)
	if err != nil {
		return DataKey{}, schema.Errorf(schema.CodeInternal, "no key could be derived: %w", err)
	}
	defer clear(raw)
	return ParseDataKey(raw)
}
