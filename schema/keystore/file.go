package keystore

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
)

// keyFileLimit bounds a key file.
const keyFileLimit = 4096

// ReadSecretFile reads a file of this user that nobody else may read; a wider
// one is refused. CodeNotFound when there is none.
func ReadSecretFile(path string) ([]byte, error) { return keyfile.ReadPrivate(path, keyFileLimit) }

// WriteSecretFile replaces a file whole, with mode 0600.
func WriteSecretFile(path string, content []byte) error {
	return keyfile.Replace(path, content, 0o600)
}

// LoadPair reads a private key from a 0600 file: its 32 bytes in standard base64.
func LoadPair(path string) (seal.PrivateKey, error) {
	text, err := ReadSecretFile(path)
	if err != nil {
		return seal.PrivateKey{}, err
	}
	defer clear(text)
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	defer clear(raw)
	n, err := base64.StdEncoding.Strict().Decode(raw, bytes.TrimSpace(text))
	if err != nil || n != seal.KeySize {
		return seal.PrivateKey{}, schema.Errorf(schema.CodeInvalid, "key file %s does not hold a private key", path)
	}
	return seal.ParsePrivateKey(raw[:n])
}

// EnsurePair reads a private key, or makes one where there is none. Of several
// that make it at once, all get the same.
func EnsurePair(path string) (seal.PrivateKey, error) {
	k, err := LoadPair(path)
	if schema.CodeOf(err) != schema.CodeNotFound {
		return k, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return seal.PrivateKey{}, schema.Errorf(schema.CodeUnavailable, "the directory of key file %s could not be made: %w", path, err)
	}
	if k, err = seal.NewPrivateKey(); err != nil {
		return seal.PrivateKey{}, err
	}
	text := append(base64.StdEncoding.AppendEncode(nil, k.Reveal()), '\n')
	defer clear(text)
	created, err := keyfile.Create(path, text, 0o600)
	if err != nil {
		return seal.PrivateKey{}, err
	}
	if !created {
		return LoadPair(path)
	}
	return k, nil
}

// WritePublic writes the public half, for other users of the machine to read.
func WritePublic(path string, k seal.PublicKey) error {
	return keyfile.Replace(path, []byte(k.String()+"\n"), 0o644)
}

// OverwritePublic replaces the public half in the file that there is, which the
// processes that run may read.
func OverwritePublic(path string, k seal.PublicKey) error {
	return keyfile.Overwrite(path, []byte(k.String()+"\n"))
}

// LoadPublic reads a public half. A file that others may write is refused: who
// changes it has keys wrapped to himself.
func LoadPublic(path string) (seal.PublicKey, error) {
	var k seal.PublicKey
	text, err := keyfile.ReadPublic(path, keyFileLimit)
	if err != nil {
		return k, err
	}
	if err := k.UnmarshalText(bytes.TrimSpace(text)); err != nil {
		return seal.PublicKey{}, schema.Errorf(schema.CodeInvalid, "key file %s does not hold a public key", path)
	}
	return k, nil
}
