package seal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/crypto/curve25519"

	"github.com/tenonhq/tenon/schema"
)

// KeySize is the size of every key, in bytes.
const KeySize = 32

const redacted = "[redacted]"

// KeyID names a key in the header of what it sealed: the first 8 bytes of
// SHA-256 over a label and the public key or data key.
type KeyID [8]byte

// String is lower-case hexadecimal.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText is lower-case hexadecimal.
func (id KeyID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reverses MarshalText.
func (id *KeyID) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err != nil || len(raw) != len(id) {
		return schema.Errorf(schema.CodeInvalid, "not a key id")
	}
	copy(id[:], raw)
	return nil
}

func keyID(label string, key []byte) KeyID {
	sum := sha256.Sum256(append([]byte(label), key...))
	return KeyID(sum[:8])
}

// PublicKey is an X25519 public key.
type PublicKey [KeySize]byte

// ID names the key.
func (k PublicKey) ID() KeyID { return keyID("tenon public key\n", k[:]) }

// String is standard base64.
func (k PublicKey) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// MarshalText is standard base64.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reverses MarshalText.
func (k *PublicKey) UnmarshalText(text []byte) error {
	raw, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil || len(raw) != KeySize {
		return schema.Errorf(schema.CodeInvalid, "not a public key: %d bytes in standard base64 are needed", KeySize)
	}
	copy(k[:], raw)
	return nil
}

// hidden redacts a key in whatever is made of it.
type hidden struct{}

// veil keeps a key behind two pointers: where package fmt meets it in an
// unexported field it cannot call the methods of hidden, and follows one
// pointer under some verbs, but never two.
type veil[T any] struct{ behind **T }

func veiled[T any](v T) veil[T] {
	p := &v
	return veil[T]{&p}
}

func (v veil[T]) get() *T { return *v.behind }

func (v veil[T]) isZero() bool { return v.behind == nil }

// String redacts.
func (hidden) String() string { return redacted }

// GoString redacts.
func (hidden) GoString() string { return redacted }

// Format redacts under every verb.
func (hidden) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue redacts.
func (hidden) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts.
func (hidden) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON redacts.
func (hidden) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// PrivateKey is an X25519 private key. It redacts itself.
type PrivateKey struct {
	hidden
	private, public veil[[KeySize]byte]
}

// NewPrivateKey makes a key at random.
func NewPrivateKey() (PrivateKey, error) {
	var raw [KeySize]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return PrivateKey{}, schema.Errorf(schema.CodeInternal, "no randomness: %w", err)
	}
	return ParsePrivateKey(raw[:])
}

// ParsePrivateKey copies the 32 bytes.
func ParsePrivateKey(raw []byte) (PrivateKey, error) {
	if len(raw) != KeySize {
		return PrivateKey{}, schema.Errorf(schema.CodeInvalid, "a private key has %d bytes", KeySize)
	}
	public, err := curve25519.X25519(raw, curve25519.Basepoint)
	if err != nil {
		return PrivateKey{}, schema.Errorf(schema.CodeInvalid, "not a private key")
	}
	return PrivateKey{private: veiled([KeySize]byte(raw)), public: veiled([KeySize]byte(public))}, nil
}

// Public is the public half.
func (k PrivateKey) Public() PublicKey { return PublicKey(*k.public.get()) }

// Reveal returns the key itself, not a copy.
func (k PrivateKey) Reveal() []byte { return k.private.get()[:] }

// DataKey is a symmetric key. It redacts itself.
type DataKey struct {
	hidden
	key veil[[KeySize]byte]
}

// NewDataKey makes a key at random.
func NewDataKey() (DataKey, error) {
	k := DataKey{key: veiled([KeySize]byte{})}
	if _, err := rand.Read(k.key.get()[:]); err != nil {
		return DataKey{}, schema.Errorf(schema.CodeInternal, "no randomness: %w", err)
	}
	return k, nil
}

// ParseDataKey copies the 32 bytes.
func ParseDataKey(raw []byte) (DataKey, error) {
	if len(raw) != KeySize {
		return DataKey{}, schema.Errorf(schema.CodeInvalid, "a data key has %d bytes", KeySize)
	}
	return DataKey{key: veiled([KeySize]byte(raw))}, nil
}

// ID names the key.
func (k DataKey) ID() KeyID { return keyID("tenon data key\n", k.key.get()[:]) }

// Reveal returns the key itself, not a copy.
func (k DataKey) Reveal() []byte { return k.key.get()[:] }
