package verify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/tenonhq/tenon/schema"
)

// SecretPrefix starts a secret of Standard Webhooks; standard base64 follows.
const SecretPrefix = "whsec_"

// The specification's bounds of a secret, in bytes.
const (
	minKey = 24
	maxKey = 64
)

// DecodeSecret returns the key in a secret of Standard Webhooks.
func DecodeSecret(secret string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(secret, SecretPrefix)
	if ok {
		key, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err == nil && len(key) >= minKey && len(key) <= maxKey {
			return key, nil
		}
	}
	return nil, schema.Errorf(schema.CodeInvalid, "the secret must be whsec_ and the standard base64 of 24 to 64 bytes")
}

// EncodeSecret is the reverse of DecodeSecret.
func EncodeSecret(key []byte) string {
	return SecretPrefix + base64.StdEncoding.EncodeToString(key)
}

// standard verifies a message of Standard Webhooks with symmetric signatures.
func standard(secrets []string, header http.Header, body []byte, now time.Time) (Message, error) {
	id, okID := single(header, "webhook-id")
	timestamp, okTimestamp := single(header, "webhook-timestamp")
	signatures, okSignatures := single(header, "webhook-signature")
	if !okID || !okTimestamp || !okSignatures {
		return Message{}, refuse("webhook-id, webhook-timestamp and webhook-signature must each stand once")
	}
	if !plain(id, '.') {
		return Message{}, refuse("webhook-id is not usable")
	}
	if !fresh(timestamp, now) {
		return Message{}, refuse("webhook-timestamp is not within five minutes")
	}
	given := v1(signatures)
	if len(given) == 0 {
		return Message{}, refuse("webhook-signature holds no v1 signature")
	}
	matched := false
	for i, secret := range secrets {
		if i == maxSecrets {
			break
		}
		key, err := DecodeSecret(secret)
		if err != nil {
			return Message{}, refuse("a secret of the source is not usable")
		}
		mac := hmac.New(sha256.New, key)
		clear(key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		want := mac.Sum(nil)
		for _, signature := range given {
			// No early exit: the time tells nothing of which one matched.
			matched = hmac.Equal(signature, want) || matched
		}
	}
	if !matched {
		return Message{}, refuse("no signature matches")
	}
	return Message{ID: id}, nil
}

// v1 returns the well-formed v1 signatures of the header, at most
// maxSignatures entries of it; other versions are not ours to judge.
func v1(header string) [][]byte {
	var found [][]byte
	for i, entry := range strings.Split(header, " ") {
		if i == maxSignatures {
			break
		}
		encoded, ok := strings.CutPrefix(entry, "v1,")
		if !ok {
			continue
		}
		signature, err := base64.StdEncoding.Strict().DecodeString(encoded)
		// The decoder passes over line breaks; a header has none to pass over.
		if err != nil || len(signature) != sha256.Size || strings.ContainsAny(encoded, "\r\n") {
			continue
		}
		found = append(found, signature)
	}
	return found
}
