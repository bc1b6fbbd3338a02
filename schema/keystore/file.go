package keystore

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// ReadSecretFile reads a file that only its owner may read; a wider one is refused.
func ReadSecretFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, schema.Errorf(schema.CodeNotFound, "there is no key file %s", path)
	}
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "key file %s could not be read: %w", path, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, schema.Errorf(schema.CodeRefused, "key file %s is open to others", path).Advise("chmod 600 " + path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "key file %s could not be read: %w", path, err)
	}
	return text, nil
}

// WriteSecretFile writes a file that only its owner may read.
func WriteSecretFile(path string, content []byte) error { return writeFile(path, content) }

// LoadPair reads a private key from a 0600 file: its 32 bytes in standard base64.
func LoadPair(path string) (seal.PrivateKey, error) {
	text, err := ReadSecretFile(path)
	if err != nil {
		return seal.PrivateKey{}, err
	}
	defer clear(text)
	raw, err := base64.StdEncoding.Strict().DecodeString(string(bytes.TrimSpace(text)))
	if err != nil {
		return seal.PrivateKey{}, schema.Errorf(schema.CodeInvalid, "key file %s does not hold a private key", path)
	}
	defer clear(raw)
	return seal.ParsePrivateKey(raw)
}

// EnsurePair reads a private key, or makes one where there is none.
func EnsurePair(path string) (seal.PrivateKey, error) {
	k, err := LoadPair(path)
	if schema.CodeOf(err) != schema.CodeNotFound {
		return k, err
	}
	if k, err = seal.NewPrivateKey(); err != nil {
		return k, err
	}
	return k, writeFile(path, []byte(base64.StdEncoding.EncodeToString(k.Reveal())+"\n"))
}

// WritePublic writes the public half.
func WritePublic(path string, k seal.PublicKey) error {
	return writeFile(path, []byte(k.String()+"\n"))
}

// LoadPublic reads a public half.
func LoadPublic(path string) (seal.PublicKey, error) {
	var k seal.PublicKey
	text, err := os.ReadFile(path)
	if err != nil {
		return k, schema.Errorf(schema.CodeUnavailable, "public key file %s could not be read: %w", path, err)
	}
	return k, k.UnmarshalText(bytes.TrimSpace(text))
}
