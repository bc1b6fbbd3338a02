package seal

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tenonhq/tenon/schema"
)

// Warning is something about a value that may be a mistake. It never quotes the
// value.
type Warning struct {
	// Pointer is a JSON Pointer to the value: "/values/NAME".
	Pointer string `json:"pointer"`
	Message string `json:"message"`
	// Hint says what to do.
	Hint string `json:"hint,omitempty"`
}

const (
	// valueLimit bounds one value of a credential, in bytes.
	valueLimit = 16 << 10
	// minSecret is the shortest secret, in bytes: a shorter one could not be
	// told apart from other text and taken out of replies.
	minSecret = 4
)

// Check checks the values of a credential against the injection that they are
// for: that there are those of [ValueNames] and no others, that each has the
// shape of its kind, and that none is a well-known example. What may be right
// and may be a mistake is a warning. The error is a *schema.Error with
// CodeInvalid or CodeTooLarge and a pointer such as "/values/token". Neither
// repeats a value, or a name that is not the scheme's own: it may be the secret
// in the wrong place (invariant 10).
//
// Nothing that is derived from a value outlives the check, a copy in lower case
// neither: where a credential arrives in clear, it is wiped (invariant 1).
//
// The same check is made by clients before they seal, by the API for what
// arrives in clear, and by the cell whenever it opens a credential: what a
// client sealed was seen by nobody before.
func Check(in Injection, values map[string]string) ([]Warning, error) {
	required, optional := ValueNames(in)
	if err := checkNames(in.Scheme, required, optional, values); err != nil {
		return nil, err
	}
	c := checker{in: in, values: values}
	for _, name := range append(slices.Clip(required), optional...) {
		if value, ok := values[name]; ok {
			if err := c.value(name, value); err != nil {
				return nil, err
			}
		}
	}
	if err := c.together(); err != nil {
		return nil, err
	}
	return c.warnings, nil
}

func checkNames(scheme string, required, optional []string, values map[string]string) error {
	has := "the scheme " + scheme + " has these values: " + strings.Join(append(slices.Clip(required), optional...), ", ")
	if len(values) == 0 {
		return schema.Errorf(schema.CodeInvalid, "the values are missing").At("/values").Advise(has)
	}
	for _, name := range required {
		if _, ok := values[name]; !ok {
			return schema.Errorf(schema.CodeInvalid, "a value of the scheme is missing").At("/values/" + name).Advise(has)
		}
	}
	for name := range values {
		if !slices.Contains(required, name) && !slices.Contains(optional, name) {
			return schema.Errorf(schema.CodeInvalid, "there is a value that the scheme does not have").At("/values").Advise(has)
		}
	}
	return nil
}

// checker collects what it finds out about one credential's values.
type checker struct {
	in       Injection
	values   map[string]string
	warnings []Warning
}

func (c *checker) warn(name, message, hint string) {
	c.warnings = append(c.warnings, Warning{Pointer: "/values/" + name, Message: message, Hint: hint})
}

func bad(name, message, hint string) error {
	return schema.Errorf(schema.CodeInvalid, "%s", message).At("/values/" + name).Advise(hint)
}

// value checks one value by itself.
func (c *checker) value(name, value string) error {
	pem := c.in.Scheme == SchemeMTLS
	// What people choose is taken as it is; what systems issue has a shape.
	chosen := name == "password" || c.in.Scheme == SchemeHMAC && name == "secret"
	switch {
	case value == "" && c.in.Scheme == SchemeBasic:
		return nil // One of the two may be empty: together looks at them.
	case value == "":
		return bad(name, "a value is empty", "Enter the credential's value.")
	case len(value) > valueLimit:
		return schema.Errorf(schema.CodeTooLarge, "a value has more than %d bytes", valueLimit).At("/values/" + name)
	case !utf8.ValidString(value):
		return bad(name, "a value is not UTF-8", "Copy it again from where it was issued.")
	case pem:
		return nil // pair reads it.
	case strings.ContainsFunc(value, unicode.IsControl):
		// A line break in a header would begin another one.
		return bad(name, "a value holds a line break or another control character", "Is there a line break at its end? Take it off.")
	case strings.TrimSpace(value) != value && !chosen:
		return bad(name, "a value begins or ends with a space", "Copy it again without the space.")
	case strings.TrimSpace(value) != value:
		c.warn(name, "the value begins or ends with a space", "Enter it again if the space is not part of it.")
	}
	if secret := name != "username" && name != "client_id" && name != "key_id" || c.in.Scheme == SchemeFree; secret && len(strings.TrimSpace(value)) < minSecret {
		return bad(name, "a value is so short that it could not be taken out of replies", "Use one of at least 4 characters.")
	}
	if err := c.example(name, value, chosen); err != nil {
		return err
	}
	return c.shape(name, value)
}

// shape checks what a value of its kind looks like.
func (c *checker) shape(name, value string) error {
	switch {
	case c.in.Scheme == SchemeBearer:
		return c.bearer(name, value)
	case c.in.Scheme == SchemeBasic && name == "username" && strings.Contains(value, ":"):
		return bad(name, "a user name of the basic scheme cannot hold a colon", "Enter user name and password as two values.")
	case (c.in.Scheme == SchemeHeader || c.in.Scheme == SchemeFree) && strings.ContainsFunc(value, func(r rune) bool { return r > unicode.MaxASCII }):
		c.warn(name, "the value holds letters that headers do not carry everywhere", "Copy it again from where it was issued.")
	case c.in.Scheme == SchemeHeader && c.in.Prefix != "" && len(value) >= len(c.in.Prefix) && strings.EqualFold(value[:len(c.in.Prefix)], c.in.Prefix):
		c.warn(name, "the value begins with the prefix, which is put before it anyway", "Enter the value without the prefix.")
	case c.in.Scheme == SchemeHMAC && name == "secret":
		key, err := c.in.HMAC.Key(value)
		clear(key)
		return err
	case c.in.Scheme == SchemeSigV4:
		return c.aws(name, value)
	}
	return nil
}

// bearer checks a token (RFC 6750, 2.1).
func (c *checker) bearer(name, value string) error {
	if scheme, _, found := strings.Cut(value, " "); found && (strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "token") || strings.EqualFold(scheme, "basic")) {
		return bad(name, "a token comes without the word before it", `"Bearer " is put before it anyway; for another word use the scheme header with a prefix.`)
	}
	if strings.ContainsFunc(value, unicode.IsSpace) {
		return bad(name, "a token holds no spaces", "Copy it again from where it was issued.")
	}
	if strings.ContainsFunc(strings.TrimRight(value, "="), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/", r)
	}) {
		c.warn(name, "the token holds characters that tokens usually do not have", "Copy it again from where it was issued.")
	}
	return nil
}

func (c *checker) aws(name, value string) error {
	switch name {
	case "access_key_id":
		if strings.ContainsFunc(value, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return bad(name, "an access key id has letters, digits, dashes and underscores only", "Are key id and secret in the wrong places?")
		}
		if _, ok := c.values["session_token"]; strings.HasPrefix(value, "ASIA") && !ok {
			return bad("session_token", "a temporary key needs its session token", "Enter session_token too, or use the key of a user (AKIA…).")
		}
		if len(value) != 20 || !strings.HasPrefix(value, "AKIA") && !strings.HasPrefix(value, "ASIA") {
			c.warn(name, "AWS issues key ids of 20 characters that begin with AKIA or ASIA", "This is right for another system that signs in the same way.")
		}
		if strings.HasPrefix(value, "ASIA") {
			c.warn(name, "a temporary key ends within hours", "Use the key of a user that may do no more than this connection needs.")
		}
	case "secret_access_key":
		if strings.HasPrefix(value, "AKIA") && len(value) == 20 {
			return bad(name, "this is a key id, not the secret", "Are key id and secret in the wrong places?")
		}
		if len(value) != 40 {
			c.warn(name, "AWS issues secrets of 40 characters", "This is right for another system that signs in the same way.")
		}
	}
	return nil
}

// Key decodes the secret of an HMAC. It may be 4 bytes or longer.
func (h *HMAC) Key(secret string) ([]byte, error) {
	var key []byte
	var err error
	switch h.KeyEncoding {
	case "hex":
		key, err = hex.DecodeString(secret)
	case "base64":
		key, err = base64.StdEncoding.DecodeString(secret)
		if err != nil {
			clear(key)
			key, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(secret, "="))
		}
	default:
		key = []byte(secret)
	}
	if err != nil || len(key) < minSecret {
		clear(key)
		return nil, bad("secret", "the secret is not written in the encoding that the connection names", "Look at use.inject.hmac.key_encoding.")
	}
	return key, nil
}

// together checks what values mean beside each other.
func (c *checker) together() error {
	switch c.in.Scheme {
	case SchemeBasic:
		username, password := c.values["username"], c.values["password"]
		if username == "" && password == "" {
			return bad("password", "there is neither a user name nor a password", "Enter both, or the key as the user name alone.")
		}
		if password == "" && len(username) < minSecret {
			return bad("username", "a value is so short that it could not be taken out of replies", "Use one of at least 4 characters.")
		}
		if username == password {
			c.warn("password", "user name and password are the same", "Enter each in its place.")
		}
	case SchemeMTLS:
		return c.pair()
	}
	return nil
}
