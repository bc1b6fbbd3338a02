package keyring

import (
	"crypto/ecdh"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/nacl/secretbox"
	"golang.org/x/crypto/salsa20/salsa" //nolint:staticcheck // HSalsa20, of which crypto_box derives its key, is nowhere else.

	"github.com/tenonhq/tenon/schema/seal"
)

// pair is a credential pair as boxes are opened with it.
type pair struct {
	seal.PrivateKey
	// shared computes what the private half shares with another key. Making an
	// X25519 key costs as much as opening a box does, and leaves a copy each time. It
	// is a function so that package fmt, which follows pointers, finds no key.
	shared func(*ecdh.PublicKey) ([]byte, error)
	// boxes are the keys of boxes opened before.
	boxes *boxKeys
}

func newPair(k seal.PrivateKey) pair {
	scalar, err := ecdh.X25519().NewPrivateKey(k.Reveal())
	if err != nil {
		panic("keyring: 32 bytes are no private key: " + err.Error())
	}
	return pair{PrivateKey: k, shared: scalar.ECDH, boxes: newBoxKeys()}
}

const (
	nonceSize = 24
	// ephemeralSize is the size of the public key that a sealed box begins with.
	ephemeralSize = seal.KeySize
)

// open opens a sealed box, as libsodium's crypto_box_seal_open does:
// XSalsa20-Poly1305 under HSalsa20 of the shared secret, with BLAKE2b of both
// public keys as the nonce. An ephemeral key of low order, whose shared secret
// everyone knows, is refused.
func (p pair) open(box []byte) ([]byte, bool) {
	if len(box) < ephemeralSize+secretbox.Overhead {
		return nil, false
	}
	ephemeral := [ephemeralSize]byte(box)
	var key [seal.KeySize]byte
	defer clear(key[:])
	known := p.boxes.find(ephemeral, &key)
	if !known && !p.derive(ephemeral, &key) {
		return nil, false
	}
	hash, err := blake2b.New(nonceSize, nil)
	if err != nil {
		return nil, false
	}
	hash.Write(ephemeral[:])
	public := p.Public()
	hash.Write(public[:])
	nonce := [nonceSize]byte(hash.Sum(nil))
	plain, ok := secretbox.Open(nil, box[ephemeralSize:], &nonce, &key)
	if ok && !known {
		p.boxes.keep(ephemeral, key)
	}
	return plain, ok
}

// derive computes the key of the box that begins with an ephemeral key.
func (p pair) derive(ephemeral [ephemeralSize]byte, key *[seal.KeySize]byte) bool {
	public, err := ecdh.X25519().NewPublicKey(ephemeral[:])
	if err != nil {
		return false
	}
	secret, err := p.shared(public)
	if err != nil {
		return false
	}
	defer clear(secret)
	salsa.HSalsa20(key, new([16]byte), (*[seal.KeySize]byte)(secret), &salsa.Sigma)
	return true
}
