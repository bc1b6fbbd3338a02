package seal

import (
	"encoding/json"
	"errors"

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
	text, err := json.Marshal(c)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "the credential does not encode")
	}
	defer clear(text)
	return sealTo(to, SuiteCredential, append([]byte(CredentialMagic), text...))
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
