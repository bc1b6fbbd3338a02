package token

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// hidden redacts the signer in whatever is made of it.
type hidden struct{}

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
