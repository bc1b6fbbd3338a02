package verify

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // It is what Twilio signs with; as an HMAC it stands.
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"mime"
	"net/url"
	"slices"
	"strings"

	"github.com/tenonhq/tenon/schema/config"
)

// bodyParameter holds the hash of a body that is not a form.
const bodyParameter = "bodySHA256"

// twilio verifies X-Twilio-Signature: an HMAC over the address and the sorted
// fields of a form; for another body, over the address with the body's hash in
// its query.
//
// Twilio joins names and values without anything between, so that one signature
// covers several divisions into fields. The digest of the proof is of what is
// signed, so that another division of a message is the same message.
func twilio(source config.Source, secrets []string, r Request) (proof, error) {
	value, ok := single(r.Header, "X-Twilio-Signature")
	if !ok {
		return proof{}, refuse("the signature must stand once")
	}
	given, ok := decode(encodingBase64, value)
	if !ok || len(given) != sha1.Size {
		return proof{}, refuse("the signature is not well encoded")
	}
	content, ok := twilioContent(source.URL, r)
	if !ok {
		return proof{}, refuse("the body is neither a form nor what its hash in the address says")
	}
	matched := false
	for _, secret := range secrets {
		mac := hmac.New(sha1.New, []byte(secret))
		mac.Write([]byte(content))
		matched = hmac.Equal(given, mac.Sum(nil)) || matched
	}
	if !matched {
		return proof{}, refuse("no signature matches")
	}
	return proof{digest: sha256.Sum256([]byte(content))}, nil
}

func twilioContent(address string, r Request) (string, bool) {
	if r.Query != "" {
		hashed, ok := strings.CutPrefix(r.Query, bodyParameter+"=")
		given, err := hex.DecodeString(hashed)
		sum := sha256.Sum256(r.Body)
		if !ok || err != nil || subtle.ConstantTimeCompare(given, sum[:]) != 1 {
			return "", false
		}
		return address + "?" + r.Query, true
	}
	kind, ok := single(r.Header, "Content-Type")
	if !ok {
		return "", false
	}
	media, _, err := mime.ParseMediaType(kind)
	if err != nil || media != "application/x-www-form-urlencoded" {
		return "", false
	}
	form, err := url.ParseQuery(string(r.Body))
	if err != nil || len(form) == 0 {
		return "", false
	}
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	var content strings.Builder
	content.WriteString(address)
	for _, name := range names {
		values := slices.Clone(form[name])
		slices.Sort(values)
		for _, v := range slices.Compact(values) {
			content.WriteString(name)
			content.WriteString(v)
		}
	}
	return content.String(), true
}
