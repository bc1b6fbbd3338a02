package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
)

// MinSecret is the fewest bytes a secret may have.
const MinSecret = 16

const maxSecret = 512

// maxTolerance bounds how far a timestamp may be from now, in seconds.
const maxTolerance = 3600

// Check says whether a source can verify anything (invariant 5). Its errors
// point into a source as the API takes it and never quote a secret.
func Check(source config.Source) error {
	s, ok := schemes[source.Verifier]
	if !ok {
		return invalid("/verifier", "there is no such verifier")
	}
	return check(s, source)
}

func check(s scheme, source config.Source) error {
	if source.HMAC != nil && source.Verifier != config.VerifierHMAC {
		return invalid("/hmac", "hmac describes the verifier hmac only")
	}
	if source.MTLS != nil && source.Verifier != config.VerifierMTLS {
		return invalid("/mtls", "mtls describes the verifier mtls only")
	}
	if source.VerifyToken != "" && source.Verifier != config.VerifierMeta {
		return invalid("/verify_token", "only meta asks with a verify token")
	}
	if source.URL != "" && source.Verifier != config.VerifierTwilio && source.Verifier != config.VerifierHMAC {
		return invalid("/url", "the verifier signs no address")
	}
	switch {
	case s.certificates && len(source.Secrets) > 0:
		return invalid("/secrets", "the verifier has no secrets: the client's certificate is its proof")
	case !s.certificates && (len(source.Secrets) == 0 || len(source.Secrets) > maxSecrets):
		return invalid("/secrets", "a source has 1 to 8 secrets")
	case source.Tolerance < 0 || source.Tolerance > maxTolerance:
		return invalid("/tolerance", "the tolerance is at most 3600 seconds")
	case len(source.Topics) > 0 && s.topic == "":
		return invalid("/topics", "the verifier knows no topics")
	}
	for _, secret := range source.Secrets {
		if err := s.secret(secret.Value); err != nil {
			return err
		}
	}
	if s.check != nil {
		if err := s.check(source); err != nil {
			return err
		}
	}
	return checkNaming(s, source)
}

// checkNaming checks what names and orders messages.
func checkNaming(s scheme, source config.Source) error {
	if id := source.Identity; id != nil {
		switch {
		case (id.By == config.IdentityHeader) != headerName(id.Header) || (id.By != config.IdentityHeader && id.Header != ""):
			return invalid("/identity/header", "an identity by header, and no other, has the name of a header")
		case (id.By == config.IdentityPointer) != checkPointer(id.Pointer) || (id.By != config.IdentityPointer && id.Pointer != ""):
			return invalid("/identity/pointer", "an identity by pointer, and no other, has a JSON Pointer such as /id")
		}
		switch id.By {
		case config.IdentityMessage, config.IdentityHeader, config.IdentityPointer:
		case config.IdentityEach:
			if !s.unsigned {
				return invalid("/identity/by", "a signed message could be sent again by whoever saw it: each is not for this verifier")
			}
		default:
			return invalid("/identity/by", "the identity is by message, header, pointer or each")
		}
	}
	if o := source.Order; o != nil && (headerName(o.Header) == checkPointer(o.Pointer) || (o.Header != "" && o.Pointer != "")) {
		return invalid("/order", "an order has the name of a header or a JSON Pointer such as /customer/id")
	}
	return nil
}

func checkHMAC(source config.Source) error {
	how := source.HMAC
	if how == nil {
		return invalid("/hmac", "the verifier hmac needs a description of the signature")
	}
	if hashes[how.Hash] == nil {
		return invalid("/hmac/hash", "the hash must be sha1, sha256, sha384 or sha512")
	}
	switch how.Encoding {
	case encodingHex, encodingBase64, encodingBase64URL:
	default:
		return invalid("/hmac/encoding", "the encoding must be hex, base64 or base64url")
	}
	switch how.TimestampFormat {
	case "", formatUnix, formatMillis, formatRFC3339:
	default:
		return invalid("/hmac/timestamp_format", "the format must be unix, unix-ms or rfc3339")
	}
	switch {
	case how.SecretEncoding != "" && how.SecretEncoding != encodingText && how.SecretEncoding != encodingHex && how.SecretEncoding != encodingBase64:
		return invalid("/hmac/secret_encoding", "the encoding must be text, hex or base64")
	case !headerName(how.SignatureHeader):
		return invalid("/hmac/signature_header", "the signature's header must be a header name")
	case how.TimestampHeader != "" && !headerName(how.TimestampHeader):
		return invalid("/hmac/timestamp_header", "the timestamp's header must be a header name")
	case how.IDHeader != "" && !headerName(how.IDHeader):
		return invalid("/hmac/id_header", "the id's header must be a header name")
	case len(how.Prefix) > 64:
		return invalid("/hmac/prefix", "a prefix has at most 64 bytes")
	}
	for _, secret := range source.Secrets {
		if key, ok := decode(how.SecretEncoding, secret.Value); !ok || len(key) < MinSecret {
			return invalid("/secrets", "a secret must be encoded as it is described, and have at least 16 bytes")
		}
	}
	if err := checkFields(how); err != nil {
		return err
	}
	return checkTemplate(source)
}

func checkFields(how *config.Signature) error {
	f := how.Fields
	switch {
	case f == nil:
		return nil
	case f.Separator != "," && f.Separator != ";":
		return invalid("/hmac/fields/separator", "fields are separated by , or ;")
	case !headerName(f.Signature) || f.Signature == f.Timestamp:
		return invalid("/hmac/fields/signature", "the signature needs a field of its own")
	case f.Timestamp != "" && !headerName(f.Timestamp):
		return invalid("/hmac/fields/timestamp", "the timestamp's field must be a name")
	case f.Timestamp != "" && how.TimestampHeader != "":
		return invalid("/hmac/timestamp_header", "the timestamp stands in a header or in a field")
	}
	return nil
}

// checkTemplate makes sure that what is signed covers what is believed.
func checkTemplate(source config.Source) error {
	how := source.HMAC
	list, ok := parts(how.Signed)
	apart := ok
	if ok {
		_, apart = separators(list)
	}
	once := func(name string, wanted bool) bool {
		return (count(list, name) == 1) == wanted && count(list, name) <= 1
	}
	switch {
	case !ok || len(how.Signed) > maxTemplate:
		return invalid("/hmac/signed", "what is signed is text around {body}, {timestamp}, {id} and {url}")
	case !once(partBody, true):
		return invalid("/hmac/signed", "the body must be signed, once")
	case !once(partTimestamp, stamped(*how)):
		return invalid("/hmac/signed", "a timestamp that is sent must be signed, and only one that is sent can be")
	case !once(partID, how.IDHeader != ""):
		return invalid("/hmac/signed", "an id that is sent must be signed, and only one that is sent can be")
	case !apart:
		return invalid("/hmac/signed", "text must stand between the id and what is beside it")
	case !once(partURL, source.URL != ""):
		return invalid("/url", "the address is needed where it is signed, and only there")
	case source.URL != "":
		return checkURL(source.URL)
	}
	return nil
}

func checkTwilio(source config.Source) error { return checkURL(source.URL) }

// checkURL takes the one form of an address that is compared byte by byte.
func checkURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil ||
		strings.ContainsAny(address, "?#") || len(address) > 1024 || !visible(address, " ") {
		return invalid("/url", "the address must be that which the sender posts to: https, without user, query and fragment")
	}
	return nil
}

func checkMeta(source config.Source) error {
	if len(source.VerifyToken) < MinSecret || len(source.VerifyToken) > maxSecret || !visible(source.VerifyToken, " ") {
		return invalid("/verify_token", "a verify token has 16 to 512 printable characters")
	}
	return nil
}

func checkMTLS(source config.Source) error {
	how := source.MTLS
	if how == nil || (len(how.Fingerprints) == 0 && how.Authority == "") || (len(how.Fingerprints) > 0 && how.Authority != "") {
		return invalid("/mtls", "the verifier mtls needs fingerprints of certificates, or an authority with names")
	}
	for _, f := range how.Fingerprints {
		if b, err := hex.DecodeString(f); err != nil || len(b) != sha256.Size {
			return invalid("/mtls/fingerprints", "a fingerprint is the SHA-256 of a certificate in 64 hexadecimal digits")
		}
	}
	if how.Authority == "" {
		if len(how.Names) > 0 {
			return invalid("/mtls/names", "names go with an authority")
		}
		return nil
	}
	if _, ok := authorities(how.Authority); !ok {
		return invalid("/mtls/authority", "the authority must be certificates in PEM that may issue others")
	}
	if len(how.Names) == 0 {
		return invalid("/mtls/names", "say whose certificates of the authority are taken: DNS names or URIs")
	}
	return nil
}

func long(secret string) error {
	if len(secret) < MinSecret || len(secret) > maxSecret {
		return invalid("/secrets", "a secret has 16 to 512 bytes")
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
