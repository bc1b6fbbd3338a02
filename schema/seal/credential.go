package seal

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tenonhq/tenon/schema"
)

// CredentialMagic begins the plaintext of a sealed credential; JSON follows.
const CredentialMagic = "tenon-credential-v1\n"

// The schemes of injection.
const (
	SchemeBearer = "bearer"
	SchemeHeader = "header"
	SchemeQuery  = "query"
	SchemeBasic  = "basic"
)

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

// Injection is where the credential goes in a request.
type Injection struct {
	// Scheme is bearer, header, query or basic.
	Scheme string `json:"scheme"`
	// Name of the header or query parameter, for those schemes.
	Name string `json:"name,omitempty"`
	// Prefix before the value in a header.
	Prefix string `json:"prefix,omitempty"`
}

// Credential is the plaintext of a sealed credential. Values by scheme: bearer
// "token"; header and query "value"; basic "username" and "password".
type Credential struct {
	Organization string            `json:"organization"`
	Connection   string            `json:"connection"`
	Version      int               `json:"version"`
	Use          Use               `json:"use"`
	Values       map[string]string `json:"values"`
}

// valueLimit bounds one value of a credential.
const valueLimit = 16 << 10

// SealCredential seals a credential to a cell's public key. Only a public key
// is needed: clients seal by themselves.
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
	names := ValueNames(c.Use.Inject.Scheme)
	if len(c.Values) != len(names) {
		return schema.Errorf(schema.CodeInvalid, "the scheme has other values: it has %s", strings.Join(names, ", ")).At("/values")
	}
	for _, name := range names {
		if err := checkValue(c.Use.Inject.Scheme, name, c.Values); err != nil {
			return err
		}
	}
	return nil
}

// ValueNames are the values that a credential of the scheme has, all of them.
func ValueNames(scheme string) []string {
	switch scheme {
	case SchemeBearer:
		return []string{"token"}
	case SchemeHeader, SchemeQuery:
		return []string{"value"}
	case SchemeBasic:
		return []string{"username", "password"}
	default:
		return nil
	}
}

func checkValue(scheme, name string, values map[string]string) error {
	value, ok := values[name]
	at := "/values/" + name
	switch {
	case !ok:
		return schema.Errorf(schema.CodeInvalid, "a value of the scheme is missing").At(at)
	case value == "" && name != "password" && name != "username":
		return schema.Errorf(schema.CodeInvalid, "a value is empty").At(at)
	case len(value) > valueLimit:
		return schema.Errorf(schema.CodeTooLarge, "a value has more than %d bytes", valueLimit).At(at)
	case !utf8.ValidString(value):
		return schema.Errorf(schema.CodeInvalid, "a value is not UTF-8").At(at)
	case scheme != SchemeQuery && strings.ContainsFunc(value, unicode.IsControl):
		// A line break in a header would begin another one.
		return schema.Errorf(schema.CodeInvalid, "a value holds a control character").At(at).
			Advise("Is there a line break at its end?")
	case scheme == SchemeBasic && name == "username" && strings.Contains(value, ":"):
		return schema.Errorf(schema.CodeInvalid, "a user name of the basic scheme cannot hold a colon").At(at)
	}
	return nil
}
