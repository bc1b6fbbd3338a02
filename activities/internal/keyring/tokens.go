package keyring

import (
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
)

// TokenLabel is what the keys of OAuth2 tokens are derived with.
const TokenLabel = "tenon tokens v1"

// tokenKeys derives the keys of tokens from the cell's private keys. A cell seals
// tokens for itself alone. With a key that nobody else has, the API, which has
// the data key, can neither read one nor plant one of its own account
// (invariants 1 and 3); a sealed box, which everybody can make, would not do.
func tokenKeys(private []seal.PrivateKey) seal.DataKeys {
	derived := make([]seal.DataKey, 0, len(private))
	for _, p := range private {
		key, err := p.Derive(TokenLabel)
		if err != nil {
			panic("keyring: 32 bytes cannot be derived: " + err.Error())
		}
		derived = append(derived, key)
	}
	if len(derived) == 0 {
		return seal.DataKeys{}
	}
	return seal.NewDataKeys(derived[0], derived[1:]...)
}

// SealToken seals the tokens of one version of a connection's credential.
func (k *Keyring) SealToken(connection string, version int, plain []byte) ([]byte, error) {
	if len(k.pairs.Load().private) == 0 {
		return nil, schema.Errorf(schema.CodeRefused, "there is no private key")
	}
	return k.tokens.Seal(place.Token(k.organization, connection, version), plain), nil
}

// OpenToken opens what SealToken made for the same version of the same
// connection. The caller overwrites what it gets.
func (k *Keyring) OpenToken(connection string, version int, sealed []byte) ([]byte, error) {
	return k.tokens.Open(place.Token(k.organization, connection, version), sealed)
}
