package keyring

import (
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
)

// Adopt replaces the credential pairs, the current one first, in the running
// cell. There is at least one.
func (k *Keyring) Adopt(private []seal.PrivateKey) {
	k.tokens.Become(tokenKeys(private))
	k.pairs.Swap(newPairs(private)).forget()
}

// Current is the public half that credentials are to be sealed to.
func (k *Keyring) Current() seal.PublicKey { return k.pairs.Load().current }

// SealedTo is the id of the pair that one version of a connection's credential
// is sealed to. Only the outer layer is opened.
func (k *Keyring) SealedTo(outer []byte, connection string, version int) (seal.KeyID, error) {
	inner, err := k.data.Open(place.Credential(k.organization, connection, version), outer)
	if err != nil {
		return seal.KeyID{}, err
	}
	id, _, err := seal.Split(seal.SuiteCredential, inner)
	return id, err
}

// Again seals one version of a connection's credential to the current pair. What
// is inside stays as it was entered, to the byte; what does not open in its
// place is not sealed anew either.
func (k *Keyring) Again(outer []byte, connection string, version int) ([]byte, error) {
	opened, err := k.Open(outer, connection, version)
	if err != nil {
		return nil, err
	}
	opened.Wipe()
	at := place.Credential(k.organization, connection, version)
	inner, err := k.data.Open(at, outer)
	if err != nil {
		return nil, err
	}
	plain, err := k.unseal(inner, connection)
	if err != nil {
		return nil, err
	}
	sealed, err := seal.CredentialAgain(k.Current(), plain)
	if err != nil {
		return nil, err
	}
	return k.data.Seal(at, sealed), nil
}

// TokenAgain seals the tokens of one version with the key that is derived from
// the current pair.
func (k *Keyring) TokenAgain(connection string, version int, sealed []byte) ([]byte, error) {
	plain, err := k.OpenToken(connection, version, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return k.SealToken(connection, version, plain)
}

// TokenKey is the id of the key that tokens are sealed with.
func (k *Keyring) TokenKey() seal.KeyID { return k.tokens.Current() }

// TokenKeys are the ids of the keys that are derived from the pairs.
func (k *Keyring) TokenKeys(pairs []seal.KeyID) []seal.KeyID {
	held := k.pairs.Load().private
	out := make([]seal.KeyID, 0, len(pairs))
	for _, id := range pairs {
		if p, ok := held[id]; ok {
			out = append(out, tokenKeys([]seal.PrivateKey{p.PrivateKey}).Current())
		}
	}
	return out
}
