package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
)

// fileLimit bounds a key file.
const fileLimit = 16 << 10

// Signer signs checkpoints. The key redacts itself.
type Signer struct {
	seed schema.Secret
	id   string
}

// NewSigner makes a key at random.
func NewSigner() Signer {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	return signerOf(seed)
}

func signerOf(seed []byte) Signer {
	s := Signer{seed: schema.NewSecret(seed)}
	s.id = KeyID(s.Public())
	return s
}

// LoadSigner reads a key from a 0600 file: its 32-byte seed in standard base64.
func LoadSigner(path string) (Signer, error) {
	text, err := keyfile.ReadPrivate(path, fileLimit)
	if err != nil {
		return Signer{}, err
	}
	defer clear(text)
	seed := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(seed, bytes.TrimSpace(text))
	if err != nil || n != ed25519.SeedSize {
		clear(seed)
		return Signer{}, schema.Errorf(schema.CodeInvalid, "key file %s does not hold a checkpoint key", path)
	}
	return signerOf(seed[:n]), nil
}

// EnsureSigner reads a key, or makes one where there is none.
func EnsureSigner(path string) (Signer, error) {
	s, err := LoadSigner(path)
	if schema.CodeOf(err) != schema.CodeNotFound {
		return s, err
	}
	s = NewSigner()
	text := append(base64.StdEncoding.AppendEncode(nil, s.seed.Reveal()), '\n')
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

// Public is the half that verifies.
func (s Signer) Public() ed25519.PublicKey {
	public, _ := ed25519.NewKeyFromSeed(s.seed.Reveal()).Public().(ed25519.PublicKey)
	return public
}

func (s Signer) sign(message []byte) []byte {
	key := ed25519.NewKeyFromSeed(s.seed.Reveal())
	defer clear(key)
	return ed25519.Sign(key, message)
}

// KeyID names a public key: the first eight bytes of its SHA-256, in
// hexadecimal.
func KeyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:8])
}

// Keys are the public keys that checkpoints are verified with, by their ids.
type Keys map[string]ed25519.PublicKey

// NewKeys returns the keys by their ids.
func NewKeys(public ...ed25519.PublicKey) Keys {
	keys := Keys{}
	for _, p := range public {
		keys[KeyID(p)] = p
	}
	return keys
}

// AddKey writes a public key in standard base64 behind those that the file has:
// what an earlier key signed still verifies.
func AddKey(path string, public ed25519.PublicKey) error {
	text, err := keyfile.ReadPublic(path, fileLimit)
	if err != nil && schema.CodeOf(err) != schema.CodeNotFound {
		return err
	}
	line := base64.StdEncoding.EncodeToString(public)
	lines := bytes.Fields(text)
	if slices.ContainsFunc(lines, func(l []byte) bool { return string(l) == line }) {
		return nil
	}
	lines = append(lines, []byte(line))
	return keyfile.Replace(path, append(bytes.Join(lines, []byte("\n")), '\n'), 0o644)
}

// LoadKeys reads public keys, one a line. A file that others may write is
// refused: who changes it signs for himself.
func LoadKeys(path string) (Keys, error) {
	text, err := keyfile.ReadPublic(path, fileLimit)
	if err != nil {
		return nil, err
	}
	keys := Keys{}
	for line := range bytes.FieldsSeq(text) {
		raw, err := base64.StdEncoding.Strict().DecodeString(string(line))
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return nil, schema.Errorf(schema.CodeInvalid, "key file %s does not hold public checkpoint keys, one a line", path)
		}
		keys[KeyID(raw)] = raw
	}
	if len(keys) == 0 {
		return nil, schema.Errorf(schema.CodeInvalid, "key file %s is empty", path)
	}
	return keys, nil
}
