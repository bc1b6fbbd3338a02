package verify

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
)

// The prefixes of the keys of Standard Webhooks; standard base64 follows.
const (
	SecretPrefix    = "whsec_"
	PublicKeyPrefix = "whpk_"
)

// The specification's bounds of a secret, in bytes; Svix makes them as long as 75.
const (
	minKey = 24
	maxKey = 75
)

// DecodeSecret returns the key in a secret of Standard Webhooks.
func DecodeSecret(secret string) ([]byte, error) {
	if key, ok := keyOf(SecretPrefix, secret); ok && len(key) >= minKey && len(key) <= maxKey {
		return key, nil
	}
	return nil, schema.Errorf(schema.CodeInvalid, "the secret must be whsec_ and the standard base64 of 24 to 75 bytes")
}

// EncodeSecret is the reverse of DecodeSecret.
func EncodeSecret(key []byte) string {
	return SecretPrefix + base64.StdEncoding.EncodeToString(key)
}

func keyOf(prefix, secret string) ([]byte, bool) {
	encoded, ok := strings.CutPrefix(secret, prefix)
	if !ok || strings.ContainsAny(encoded, "\r\n") {
		return nil, false
	}
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	return key, err == nil
}

func checkStandard(secret string) error {
	if key, ok := keyOf(PublicKeyPrefix, secret); ok && len(key) == ed25519.PublicKeySize {
		return nil
	}
	if _, err := DecodeSecret(secret); err != nil {
		return invalid("/secrets", "a secret must be whsec_ and the standard base64 of 24 to 75 bytes, or whpk_ and that of an Ed25519 public key")
	}
	return nil
}

// standard verifies a message of Standard Webhooks, with symmetric (v1) and
// asymmetric (v1a) signatures: each key judges those of its own kind only.
func standard(prefix string) func(config.Source, []string, Request) (proof, error) {
	return func(source config.Source, secrets []string, r Request) (proof, error) {
		id, okID := single(r.Header, prefix+"id")
		timestamp, okTimestamp := single(r.Header, prefix+"timestamp")
		signatures, okSignatures := single(r.Header, prefix+"signature")
		if !okID || !okTimestamp || !okSignatures {
			return proof{}, refuse("id, timestamp and signature must each stand once")
		}
		if !plain(id, '.') {
			return proof{}, refuse("the id is not usable")
		}
		if !fresh(timestamp, formatUnix, source.Tolerance, r.At) {
			return proof{}, refuse("the timestamp is not within the tolerance")
		}
		symmetric, asymmetric := given(signatures)
		content := append([]byte(id+"."+timestamp+"."), r.Body...)
		matched := false
		for _, secret := range secrets {
			if key, ok := keyOf(PublicKeyPrefix, secret); ok && len(key) == ed25519.PublicKeySize {
				for _, signature := range asymmetric {
					matched = ed25519.Verify(key, content, signature) || matched
				}
				continue
			}
			key, err := DecodeSecret(secret)
			if err != nil {
				return proof{}, refuse("a secret of the source is not usable")
			}
			mac := hmac.New(sha256.New, key)
			clear(key)
			mac.Write(content)
			want := mac.Sum(nil)
			for _, signature := range symmetric {
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

// given returns the well-formed v1 and v1a signatures of the header, of at most
// maxSignatures entries of it; other versions are not ours to judge.
func given(header string) (symmetric, asymmetric [][]byte) {
	for i, entry := range strings.Split(header, " ") {
		if i == maxSignatures {
			break
		}
		if signature, ok := keyOf("v1,", entry); ok && len(signature) == sha256.Size {
			symmetric = append(symmetric, signature)
		}
		if signature, ok := keyOf("v1a,", entry); ok && len(signature) == ed25519.SignatureSize {
			asymmetric = append(asymmetric, signature)
		}
	}
	return symmetric, asymmetric
}
