package verify

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"strings"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
)

// MinSecret is the fewest bytes a secret of the hmac verifier may have.
const MinSecret = 16

const maxSecret = 512

// generic verifies a message whose sender signs in its own way.
func generic(how config.HMAC, secrets []string, header http.Header, body []byte, now time.Time) (Message, error) {
	if Check(config.Source{Verifier: config.VerifierHMAC, Secrets: secrets, HMAC: &how}) != nil {
		return Message{}, refuse("the source's description of its signature is not usable")
	}
	timestamp, ok := single(header, how.TimestampHeader)
	if !ok || !fresh(timestamp, now) {
		return Message{}, refuse("the timestamp is missing or not within five minutes")
	}
	signed := how.SignedPrefix
	id := ""
	if how.IDHeader != "" {
		id, ok = single(header, how.IDHeader)
		if !ok || !plain(id, how.Separator[0]) {
			return Message{}, refuse("the message id is missing or not usable")
		}
		signed += id + how.Separator
	}
	signed += timestamp + how.Separator
	value, ok := single(header, how.SignatureHeader)
	if !ok {
		return Message{}, refuse("the signature must stand once")
	}
	encoded, ok := strings.CutPrefix(value, how.Prefix)
	if !ok {
		return Message{}, refuse("the signature has not its prefix")
	}
	given, ok := decode(how.Encoding, encoded)
	if !ok {
		return Message{}, refuse("the signature is not well encoded")
	}
	matched := false
	for _, secret := range secrets {
		mac := hmac.New(hashOf(how.Hash), []byte(secret))
		mac.Write([]byte(signed))
		mac.Write(body)
		matched = hmac.Equal(given, mac.Sum(nil)) || matched
	}
	if !matched {
		return Message{}, refuse("no signature matches")
	}
	if id == "" {
		// The decoded signature: a hexadecimal one in capitals is the same.
		id = hex.EncodeToString(given)
	}
	return Message{ID: id}, nil
}

func hashOf(name string) func() hash.Hash {
	if name == "sha512" {
		return sha512.New
	}
	return sha256.New
}

func decode(encoding, encoded string) ([]byte, bool) {
	if strings.ContainsAny(encoded, "\r\n") {
		return nil, false
	}
	if encoding == "base64" {
		signature, err := base64.StdEncoding.Strict().DecodeString(encoded)
		return signature, err == nil
	}
	signature, err := hex.DecodeString(encoded)
	return signature, err == nil
}

// Check says whether a source can verify anything. Its errors point into a
// source as the API takes it and never quote a secret.
func Check(source config.Source) error {
	if len(source.Secrets) == 0 || len(source.Secrets) > maxSecrets {
		return invalid("/secrets", "a source has 1 to 8 secrets")
	}
	switch source.Verifier {
	case config.VerifierStandardWebhooks:
		if source.HMAC != nil {
			return invalid("/hmac", "hmac describes the verifier hmac only")
		}
		for _, secret := range source.Secrets {
			if _, err := DecodeSecret(secret); err != nil {
				return invalid("/secrets", "a secret must be whsec_ and the standard base64 of 24 to 64 bytes")
			}
		}
		return nil
	case config.VerifierHMAC:
		for _, secret := range source.Secrets {
			if len(secret) < MinSecret || len(secret) > maxSecret {
				return invalid("/secrets", "a secret has 16 to 512 bytes")
			}
		}
		return checkHMAC(source.HMAC)
	default:
		return invalid("/verifier", "the verifier must be standard-webhooks or hmac")
	}
}

func checkHMAC(how *config.HMAC) error {
	switch {
	case how == nil:
		return invalid("/hmac", "the verifier hmac needs a description of the signature")
	case how.Hash != "sha256" && how.Hash != "sha512":
		return invalid("/hmac/hash", "the hash must be sha256 or sha512")
	case how.Encoding != "hex" && how.Encoding != "base64":
		return invalid("/hmac/encoding", "the encoding must be hex or base64")
	case how.Separator != "." && how.Separator != ":":
		return invalid("/hmac/separator", "the separator must be . or :")
	case !headerName(how.SignatureHeader):
		return invalid("/hmac/signature_header", "the signature's header must be a header name")
	case !headerName(how.TimestampHeader):
		return invalid("/hmac/timestamp_header", "a timestamp must be signed, in a header of its own")
	case how.IDHeader != "" && !headerName(how.IDHeader):
		return invalid("/hmac/id_header", "the id's header must be a header name")
	case len(how.Prefix) > 64 || len(how.SignedPrefix) > 64:
		return invalid("/hmac", "a prefix has at most 64 bytes")
	}
	return nil
}

// headerName says whether a name is letters, digits, hyphens and underscores:
// what every header in use is made of, and less than what HTTP allows.
func headerName(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for i := range len(name) {
		c := name[i] | 0x20
		if (c < 'a' || c > 'z') && (name[i] < '0' || name[i] > '9') && name[i] != '-' && name[i] != '_' {
			return false
		}
	}
	return true
}

func invalid(pointer, message string) error {
	return schema.Errorf(schema.CodeInvalid, "%s", message).At(pointer)
}
