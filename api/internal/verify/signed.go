package verify

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Twilio and older senders sign with it; as an HMAC it stands.
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strings"

	"github.com/tenonhq/tenon/schema/config"
)

// The encodings of signatures and secrets, and the formats of timestamps.
const (
	encodingHex       = "hex"
	encodingBase64    = "base64"
	encodingBase64URL = "base64url"
	encodingText      = "text"

	formatUnix    = "unix"
	formatMillis  = "unix-ms"
	formatRFC3339 = "rfc3339"
)

// described verifies by the source's own description of its sender.
func described(source config.Source, secrets []string, r Request) (proof, error) {
	if source.HMAC == nil {
		return proof{}, refuse("the source has no description of its signature")
	}
	return signed(*source.HMAC)(source, secrets, r)
}

// signed verifies an HMAC over the raw body and what else is signed with it.
func signed(how config.Signature) func(config.Source, []string, Request) (proof, error) {
	return func(source config.Source, secrets []string, r Request) (proof, error) {
		signatures, timestamp, ok := header(how, r)
		if !ok || len(signatures) == 0 {
			return proof{}, refuse("the signature is missing, not well formed, or stands twice")
		}
		if stamped(how) && !fresh(timestamp, how.TimestampFormat, source.Tolerance, r.At) {
			return proof{}, refuse("the timestamp is missing or not within the tolerance")
		}
		list, ok := parts(how.Signed)
		if !ok {
			return proof{}, refuse("the description of what is signed is not usable")
		}
		id := ""
		if how.IDHeader != "" {
			apart, _ := separators(list)
			if id, ok = single(r.Header, how.IDHeader); !ok || !plain(id, apart...) {
				return proof{}, refuse("the message id is missing or not usable")
			}
		}
		if count(list, partURL) > 0 && r.Query != "" {
			// A query beside the body could take over a part of it.
			return proof{}, refuse("the address has a query")
		}
		content := fill(list, map[string]string{partTimestamp: timestamp, partID: id, partURL: source.URL}, r.Body)
		matched := false
		for _, secret := range secrets {
			key, ok := decode(how.SecretEncoding, secret)
			if !ok {
				return proof{}, refuse("a secret of the source is not usable")
			}
			mac := hmac.New(hashes[how.Hash], key)
			mac.Write(content)
			want := mac.Sum(nil)
			for _, signature := range signatures {
				// No early exit: the time tells nothing of which one matched.
				matched = hmac.Equal(signature, want) || matched
			}
		}
		if !matched {
			return proof{}, refuse("no signature matches")
		}
		return proof{id: id, digest: sha256.Sum256(content)}, nil
	}
}

// stamped says whether a timestamp is signed.
func stamped(how config.Signature) bool {
	return how.TimestampHeader != "" || (how.Fields != nil && how.Fields.Timestamp != "")
}

// header takes the signatures, and the timestamp where there is one, out of the
// headers. Each stands once, as does the timestamp's field; of signatures in
// fields there may be several, while the sender rotates.
func header(how config.Signature, r Request) (signatures [][]byte, timestamp string, ok bool) {
	value, ok := single(r.Header, how.SignatureHeader)
	if !ok {
		return nil, "", false
	}
	if how.TimestampHeader != "" {
		if timestamp, ok = single(r.Header, how.TimestampHeader); !ok {
			return nil, "", false
		}
	}
	if how.Fields == nil {
		signature, ok := unwrap(how, value)
		return [][]byte{signature}, timestamp, ok
	}
	for i, field := range strings.Split(value, how.Fields.Separator) {
		if i == maxSignatures {
			break
		}
		name, content, _ := strings.Cut(strings.TrimPrefix(field, " "), "=")
		switch name {
		case how.Fields.Signature:
			if signature, ok := unwrap(how, content); ok {
				signatures = append(signatures, signature)
			}
		case how.Fields.Timestamp:
			if timestamp != "" {
				return nil, "", false
			}
			timestamp = content
		}
	}
	return signatures, timestamp, true
}

func unwrap(how config.Signature, value string) ([]byte, bool) {
	encoded, ok := strings.CutPrefix(value, how.Prefix)
	if !ok {
		return nil, false
	}
	signature, ok := decode(how.Encoding, encoded)
	return signature, ok && len(signature) == hashes[how.Hash]().Size()
}

// fill puts together what is signed.
func fill(list []string, values map[string]string, body []byte) []byte {
	var content []byte
	for _, part := range list {
		switch {
		case part == partBody:
			content = append(content, body...)
		case placeholder(part):
			content = append(content, values[part]...)
		default:
			content = append(content, part...)
		}
	}
	return content
}

var hashes = map[string]func() hash.Hash{
	"sha1": sha1.New, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
}

// decode decodes strictly: one spelling of each value, but for the case of
// hexadecimal digits. An empty encoding is that of a secret: text.
func decode(encoding, encoded string) ([]byte, bool) {
	if strings.ContainsAny(encoded, "\r\n") {
		return nil, false
	}
	var decoded []byte
	var err error
	switch encoding {
	case "", encodingText:
		decoded = []byte(encoded)
	case encodingHex:
		decoded, err = hex.DecodeString(encoded)
	case encodingBase64:
		decoded, err = base64.StdEncoding.Strict().DecodeString(encoded)
	case encodingBase64URL:
		decoded, err = base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(encoded, "="))
	default:
		return nil, false
	}
	return decoded, err == nil
}
