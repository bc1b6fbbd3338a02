package broker

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strconv"
	"strings"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// signHMAC signs the request as it will be sent and returns the forms of the
// signature: whoever has one can have the same request once more.
func (d *draft) signHMAC(injection seal.Injection, values map[string]schema.Secret, now time.Time) ([]secret, error) {
	how := injection.HMAC
	if how == nil {
		return nil, schema.Errorf(schema.CodeRefused, "the credential does not say what is signed")
	}
	text, err := need(values, "secret")
	if err != nil {
		return nil, err
	}
	key, err := how.Key(text)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	id := string(values["key_id"].Reveal())
	if how.KeyIDHeader != "" {
		if err := d.carry(how.KeyIDHeader, "", "key_id", values); err != nil {
			return nil, err
		}
	}
	at := stampOf(how.TimestampFormat, now)
	if how.TimestampHeader != "" {
		if err := d.put(how.TimestampHeader, at); err != nil {
			return nil, err
		}
	}
	mac := hmac.New(hashes[how.Hash], key)
	for i, part := range how.Signed {
		if i > 0 {
			_, _ = mac.Write([]byte(how.Separator)) // A hash takes everything.
		}
		_, _ = mac.Write(d.part(part, at, id))
	}
	raw := mac.Sum(nil)
	signature := signatures[how.Encoding](raw)
	derived := []secret{{text: signature}, {text: string(raw), whole: true}, {text: string(key), whole: true}}
	return derived, d.put(injection.Name, injection.Prefix+signature)
}

var hashes = map[string]func() hash.Hash{"sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New}

var signatures = map[string]func([]byte) string{
	"hex": hex.EncodeToString, "base64": base64.StdEncoding.EncodeToString, "base64url": base64.RawURLEncoding.EncodeToString,
}

func stampOf(format string, now time.Time) string {
	switch format {
	case "unix_ms":
		return strconv.FormatInt(now.UnixMilli(), 10)
	case "rfc3339":
		return now.UTC().Format(time.RFC3339)
	default:
		return strconv.FormatInt(now.Unix(), 10)
	}
}

// part is one of the parts that a signature covers.
func (d *draft) part(name, at, keyID string) []byte {
	switch name {
	case seal.PartMethod:
		return []byte(strings.ToUpper(d.method))
	case seal.PartHost:
		return []byte(d.target.hostHeader())
	case seal.PartPath:
		return []byte(d.target.path)
	case seal.PartQuery:
		return []byte(d.query)
	case seal.PartTarget:
		return []byte(d.target.url(d.query).RequestURI())
	case seal.PartTime:
		return []byte(at)
	case seal.PartKeyID:
		return []byte(keyID)
	case seal.PartBody:
		return d.body
	case seal.PartDigest:
		sum := sha256.Sum256(d.body)
		return []byte(hex.EncodeToString(sum[:]))
	}
	return nil
}
