package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"

	"golang.org/x/crypto/curve25519"
	"golang.org/x/crypto/nacl/box"

	"github.com/tenonhq/tenon/schema"
)

// Wrap says whose wrapped key it is and what for. It is sealed in.
type Wrap struct {
	Organization, Purpose string
}

const wrapMagic = "tenon-wrap-v1\n"

func (w Wrap) prefix() []byte {
	out := []byte(wrapMagic)
	for _, part := range []string{w.Organization, w.Purpose} {
		out = binary.BigEndian.AppendUint32(out, uint32(len(part)))
		out = append(out, part...)
	}
	return out
}

// WrapKey seals a key, or a secret setting, to a public key.
func WrapKey(to PublicKey, w Wrap, key []byte) ([]byte, error) {
	return sealTo(to, SuiteWrap, append(w.prefix(), key...))
}

// UnwrapKey opens what WrapKey made for the same organization and purpose. It
// refuses credentials: they are of another suite, and begin differently.
func UnwrapKey(private PrivateKey, w Wrap, wrapped []byte) ([]byte, error) {
	if private.private.isZero() {
		return nil, schema.Errorf(schema.CodeRefused, "there is no private key")
	}
	id, rest, err := Split(SuiteWrap, wrapped)
	if err != nil {
		return nil, err
	}
	if id != private.Public().ID() {
		return nil, schema.Errorf(schema.CodeRefused, "a key was wrapped to another key than this process has")
	}
	plain, ok := box.OpenAnonymous(nil, rest, private.public.get(), private.private.get())
	if !ok {
		return nil, schema.Errorf(schema.CodeRefused, "a wrapped key was changed")
	}
	key, ok := bytes.CutPrefix(plain, w.prefix())
	if !ok {
		clear(plain)
		return nil, schema.Errorf(schema.CodeRefused, "a wrapped key belongs to another organization or purpose")
	}
	return key, nil
}

// lowOrderProbe is any scalar: X25519 refuses a point of low order with each.
var lowOrderProbe = [KeySize]byte{8}

// sealTo makes a libsodium sealed box (crypto_box_seal) behind a header.
func sealTo(to PublicKey, s Suite, plain []byte) ([]byte, error) {
	defer clear(plain)
	// A point of low order has a shared secret that everyone knows.
	if _, err := curve25519.X25519(lowOrderProbe[:], to[:]); err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "not a public key that can be sealed to")
	}
	public := [KeySize]byte(to)
	sealed, err := box.SealAnonymous(header(s, to.ID()), plain, &public, rand.Reader)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInternal, "no randomness: %w", err)
	}
	return sealed, nil
}
