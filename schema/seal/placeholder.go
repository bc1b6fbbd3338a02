package seal

import (
	"slices"
	"strings"
)

// published are values from specifications and manuals. They open nothing.
var published = []string{
	"AKIAIOSFODNN7EXAMPLE", "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
	"mF_9.B5f-4.1JqM", "2YotnFZFEjr1zCsicMWpAA", "tGzv3JOkF0XG5Qx2TlKWIA", "7Fjfp0ZBr1KtDRbnfVdmIw", "gX1fBat3bV",
	"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
}

// words stand where a value is still to be filled in.
var words = []string{
	"changeme", "change-me", "change_me", "changeit", "password", "passw0rd", "secret", "token", "apikey", "api-key", "api_key", "your-api-key",
	"your_api_key", "yourapikey", "your-token", "your_token", "placeholder", "example", "test", "todo", "none", "null", "undefined", "dummy",
	"foobar", "12345", "123456", "12345678", "123456789", "1234567890", "letmein", "admin", "default", "value", "redacted",
}

// trial are the beginnings of keys that systems issue for trying things out.
var trial = []string{
	"sk_test_", "rk_test_", "pk_test_", "whsec_test", "test_", "rzp_test_", "FLWSECK_TEST", "FLWPUBK_TEST", "sandbox-sq0", "access-sandbox-",
	"TEST-", "SANDBOX", "sk-test-", "xoxb-test",
}

// public are the beginnings of keys that are not secret and authenticate nobody.
var public = []string{"pk_live_", "pk_test_", "FLWPUBK", "rzp_pub"}

// example refuses what is known to be no credential, and warns of what is one
// for trying things out. Chosen: a person chose the value, so that a bad one may
// be in use all the same.
func (c *checker) example(name, value string, chosen bool) error {
	trimmed := strings.TrimSpace(value)
	if slices.Contains(published, value) {
		return bad(name, "the value is the published example of a manual", "Enter your own.")
	}
	if masked(trimmed) {
		return bad(name, "the value is masked, or a place to be filled in", "Copy the value itself from where it was issued.")
	}
	for _, w := range words {
		switch {
		case !strings.EqualFold(trimmed, w):
		case chosen || name == "username" || name == "client_id" || name == "key_id":
			if chosen {
				c.warn(name, "the value is one that everybody tries first", "Have a better one set in the other system.")
			}
		default:
			return bad(name, "the value is a word that stands for one", "Copy the value itself from where it was issued.")
		}
	}
	for _, p := range trial {
		if strings.HasPrefix(value, p) {
			c.warn(name, "the value begins like a key for trying things out", "Enter the live key where this connection is to do real work.")
			break
		}
	}
	for _, p := range public {
		if strings.HasPrefix(value, p) {
			c.warn(name, "the value begins like a public key, which authenticates nobody", "Enter the secret key.")
			break
		}
	}
	if len(value) > 1 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
		c.warn(name, "the value stands in quotation marks", "Enter it without them.")
	}
	return nil
}

// masked tells whether a text hides or stands for a value.
func masked(text string) bool {
	for _, fill := range []string{"xX", "*", ".", "-", "_"} {
		if len(text) >= minSecret && strings.Trim(text, fill) == "" {
			return true
		}
	}
	for _, frame := range [][2]string{{"${", "}"}, {"{{", "}}"}, {"<", ">"}, {"[", "]"}, {"%", "%"}} {
		if inner, ok := strings.CutPrefix(text, frame[0]); ok && len(text) > 2*len(frame[0]) && strings.HasSuffix(inner, frame[1]) &&
			!strings.ContainsFunc(strings.TrimSuffix(inner, frame[1]), func(r rune) bool {
				return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-. ", r)
			}) {
			return true
		}
	}
	return strings.Contains(text, "****") || strings.Contains(text, "••••")
}
