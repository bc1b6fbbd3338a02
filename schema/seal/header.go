package seal

import (
	"github.com/tenonhq/tenon/schema"
)

// formatVersion is the first byte of every ciphertext.
const formatVersion = 1

// Suite says how a ciphertext was made: its second byte.
type Suite byte

// The suites.
const (
	// SuiteData is XChaCha20-Poly1305 under a data key.
	SuiteData Suite = 1
	// SuiteWrap is a libsodium sealed box that holds a key or a secret setting.
	SuiteWrap Suite = 2
	// SuiteCredential is a libsodium sealed box that holds a credential.
	SuiteCredential Suite = 3
)

// headerSize is version, suite and key id.
const headerSize = 2 + len(KeyID{})

func header(s Suite, id KeyID) []byte {
	return append([]byte{formatVersion, byte(s)}, id[:]...)
}

// Split takes a ciphertext of the suite apart: the id of the key it was made
// for, and what follows the header.
func Split(s Suite, sealed []byte) (KeyID, []byte, error) {
	switch {
	case len(sealed) < headerSize:
		return KeyID{}, nil, schema.Errorf(schema.CodeRefused, "a ciphertext is cut short")
	case sealed[0] != formatVersion:
		return KeyID{}, nil, schema.Errorf(schema.CodeRefused, "a ciphertext is of an unknown version")
	case Suite(sealed[1]) != s:
		return KeyID{}, nil, schema.Errorf(schema.CodeRefused, "a ciphertext is of another kind than its place holds")
	}
	return KeyID(sealed[2:headerSize]), sealed[headerSize:], nil
}

// KeyOf is the id of the key that opens a ciphertext of any suite, and false
// for what does not begin like one.
func KeyOf(sealed []byte) (KeyID, bool) {
	if len(sealed) < headerSize || sealed[0] != formatVersion {
		return KeyID{}, false
	}
	return KeyID(sealed[2:headerSize]), true
}
