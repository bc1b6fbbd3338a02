package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/tenonhq/tenon/schema"
)

// CredentialMagic begins the plaintext of a sealed credential; JSON follows.
const CredentialMagic = "tenon-credential-v1\n"

// Use is what a credential may be used for. It is sealed in with the values:
// changing any of it means entering the credential again.
type Use struct {
	// Hosts are "host" or "host:port", lower case; the port is 443 by default.
	Hosts []string `json:"hosts"`
	// PathPrefix is what every path must begin with; empty for any.
	PathPrefix string    `json:"path_prefix,omitempty"`
	Inject     Injection `json:"inject"`
	// CA is a private certificate authority in PEM; empty for the system's.
	CA string `json:"ca,omitempty"`
	// PlainHTTP permits requests without TLS.
	PlainHTTP bool `json:"plain_http,omitempty"`
}

// Credential is the plaintext of a sealed credential. [ValueNames] says which
// values its scheme has.
type Credential struct {
	Organization string            `json:"organization"`
	Connection   string            `json:"connection"`
	Version      int               `json:"version"`
	Use          Use               `json:"use"`
	Values       map[string]string `json:"values"`
}

// SealCredential seals a credential to a cell's public key. Only a public key
// is needed: clients seal by themselves. It refuses what [CheckCredential]
// refuses; ask [Check] for its warnings before.
func SealCredential(to PublicKey, c Credential) ([]byte, error) {
	if err := CheckCredential(c); err != nil {
		return nil, err
	}
	plain, err := c.encode()
	if err != nil {
		return nil, err
	}
	return sealTo(to, SuiteCredential, plain)
}

// encode is the plaintext of the box. The values are written into the one buffer
// that is returned: package json keeps what it encodes in buffers of its own.
func (c Credential) encode() ([]byte, error) {
	values, size := c.Values, 0
	for name, value := range values {
		size += len(name) + len(value) + 6
	}
	c.Values = map[string]string{}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "the credential does not encode")
	}
	text = bytes.TrimSuffix(text, []byte("}}"))
	// An escaped byte takes six.
	out := make([]byte, 0, len(CredentialMagic)+len(text)+6*size+2)
	out = append(append(out, CredentialMagic...), text...)
	for i, name := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendString(out, name), ':')
		out = appendString(out, values[name])
	}
	return append(out, "}}"...), nil
}

// appendString appends a JSON string (RFC 8259, 7). The text is UTF-8, which
// [Check] has seen to.
func appendString(out []byte, text string) []byte {
	const digits = "0123456789abcdef"
	out = append(out, '"')
	for i := range len(text) {
		switch b := text[i]; {
		case b == '"', b == '\\':
			out = append(out, '\\', b)
		case b < ' ':
			out = append(out, '\\', 'u', '0', '0', digits[b>>4], digits[b&15])
		default:
			out = append(out, b)
		}
	}
	return append(out, '"')
}

// CheckCredential says what is wrong with a credential, with a pointer to the
// place. It never quotes a value.
func CheckCredential(c Credential) error {
	if c.Organization == "" {
		return schema.Errorf(schema.CodeInvalid, "the organization is missing").At("/organization")
	}
	if c.Connection == "" {
		return schema.Errorf(schema.CodeInvalid, "the connection is missing").At("/connection")
	}
	if c.Version < 1 {
		return schema.Errorf(schema.CodeInvalid, "versions begin with 1").At("/version")
	}
	if err := CheckUse(c.Use); err != nil {
		var e *schema.Error
		if errors.As(err, &e) {
			return e.At("/use" + e.Pointer)
		}
		return err
	}
	_, err := Check(c.Use.Inject, c.Values)
	return err
}
