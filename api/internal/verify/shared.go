package verify

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"strings"

	"github.com/tenonhq/tenon/schema/config"
)

// bearer verifies a token that the sender sends along.
func bearer(_ config.Source, secrets []string, r Request) (proof, error) {
	given, ok := authorization(r, "bearer")
	if !ok || !oneOf(secrets, given) {
		return proof{}, refuse("the token does not match")
	}
	return proof{digest: sha256.Sum256(r.Body)}, nil
}

// basic verifies a user and a password; a secret is "user:password".
func basic(_ config.Source, secrets []string, r Request) (proof, error) {
	encoded, ok := authorization(r, "basic")
	if !ok {
		return proof{}, refuse("the Authorization header must stand once, with Basic")
	}
	given, ok := decode(encodingBase64, encoded)
	if !ok || !oneOf(secrets, string(given)) {
		return proof{}, refuse("user and password do not match")
	}
	return proof{digest: sha256.Sum256(r.Body)}, nil
}

// clientState verifies a notification of Microsoft Graph: each of its parts
// says the secret that the subscription was made with.
func clientState(_ config.Source, secrets []string, r Request) (proof, error) {
	var notification struct {
		Value []struct {
			ClientState string `json:"clientState"`
		} `json:"value"`
	}
	if json.Unmarshal(r.Body, &notification) != nil || len(notification.Value) == 0 {
		return proof{}, refuse("the body is no notification")
	}
	matched := true
	for _, part := range notification.Value {
		matched = oneOf(secrets, part.ClientState) && matched
	}
	if !matched {
		return proof{}, refuse("a part of the notification has not the client state")
	}
	return proof{digest: sha256.Sum256(r.Body)}, nil
}

// authorization returns what follows the scheme in the Authorization header.
func authorization(r Request, scheme string) (string, bool) {
	value, ok := single(r.Header, "Authorization")
	if !ok {
		return "", false
	}
	name, rest, ok := strings.Cut(value, " ")
	return rest, ok && strings.EqualFold(name, scheme)
}

// oneOf compares digests, so that the time tells neither length nor content,
// and goes through all secrets.
func oneOf(secrets []string, given string) bool {
	sum := sha256.Sum256([]byte(given))
	matched := 0
	for _, secret := range secrets {
		want := sha256.Sum256([]byte(secret))
		matched |= subtle.ConstantTimeCompare(sum[:], want[:])
	}
	return matched == 1
}

func checkBearer(secret string) error {
	if err := long(secret); err != nil {
		return err
	}
	if !visible(secret, " ") {
		return invalid("/secrets", "a bearer token is printable ASCII without spaces")
	}
	return nil
}

// minPassword is the fewest bytes a password may have.
const minPassword = 12

func checkBasic(secret string) error {
	user, password, ok := strings.Cut(secret, ":")
	if !ok || user == "" || len(password) < minPassword || len(secret) > maxSecret || !visible(secret, "") {
		return invalid("/secrets", "a secret is user:password in printable ASCII, the password of at least 12 characters")
	}
	return nil
}

// visible says whether text is printable ASCII without the bytes that are not
// wanted.
func visible(text, not string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' || strings.IndexByte(not, text[i]) >= 0 {
			return false
		}
	}
	return true
}
