package schema

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret holds a secret value and shows it to nobody but a caller of Reveal.
// The zero value holds nothing.
//
// The value stands behind two pointers: where package fmt meets a Secret in an
// unexported field it cannot call its methods, and follows one pointer under
// some verbs, but never two.
type Secret struct{ value **[]byte }

// NewSecret takes ownership of the value.
func NewSecret(value []byte) Secret {
	p := &value
	return Secret{&p}
}

// Reveal returns the value itself, not a copy.
func (s Secret) Reveal() []byte {
	if s.value == nil {
		return nil
	}
	return **s.value
}

// IsZero tells whether there is no value.
func (s Secret) IsZero() bool { return s.value == nil || len(**s.value) == 0 }

// Wipe overwrites the value with zeros, in every copy of this Secret.
func (s Secret) Wipe() {
	if s.value != nil {
		clear(**s.value)
		**s.value = nil
	}
}

// String redacts.
func (s Secret) String() string { return redacted }

// GoString redacts.
func (s Secret) GoString() string { return redacted }

// Format redacts under every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue redacts.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts, and with it what encodes text, such as XML and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON redacts.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// GobEncode redacts.
func (s Secret) GobEncode() ([]byte, error) { return []byte(redacted), nil }

// MarshalYAML redacts.
func (s Secret) MarshalYAML() (any, error) { return redacted, nil }
