package config

import "time"

// The kinds of verifier a source can have. There is none that lets
// everything pass (invariant 5).
const (
	VerifierStandardWebhooks = "standard-webhooks"
	VerifierSvix             = "svix"
	VerifierStripe           = "stripe"
	VerifierGitHub           = "github"
	VerifierShopify          = "shopify"
	VerifierSlack            = "slack"
	VerifierTwilio           = "twilio"
	VerifierMeta             = "meta"
	VerifierMicrosoft        = "microsoft"
	VerifierHMAC             = "hmac"
	VerifierMTLS             = "mtls"
	VerifierBearer           = "bearer"
	VerifierBasic            = "basic"
)

// Source is how the messages of a webhook source are verified, and which of
// them belong together.
type Source struct {
	Verifier string `json:"verifier"`
	// Secrets are all accepted until they retire, so that a sender can rotate.
	Secrets []SourceSecret `json:"secrets"`
	// HMAC is set for the verifier hmac only.
	HMAC *Signature `json:"hmac,omitempty"`
	// MTLS is set for the verifier mtls only.
	MTLS *MTLS `json:"mtls,omitempty"`
	// URL is the address that the sender posts to, as the sender knows it: for
	// twilio, and for an hmac that signs {url}.
	URL string `json:"url,omitempty"`
	// Tolerance is how many seconds a signed timestamp may be from now, either
	// way; 0 means 300.
	Tolerance int `json:"tolerance,omitempty"`
	// Identity is what makes two messages the same; nil: what the verifier
	// covers says it.
	Identity *Identity `json:"identity,omitempty"`
	// Topics are the values of the vendor's topic header that are taken, for
	// github and shopify; empty takes all, and the header tells nothing.
	Topics []string `json:"topics,omitempty"`
	// VerifyToken is what Meta sends when it asks whether the source is there.
	VerifyToken string `json:"verify_token,omitempty"`
	// Order gives events of one key one run at a time; nil: no order.
	Order *Order `json:"order,omitempty"`
	// OrderSalt keeps the stored form of an order key from being guessed.
	OrderSalt []byte `json:"order_salt,omitempty"`
}

// SourceSecret is one of the secrets that a source accepts.
type SourceSecret struct {
	ID        string    `json:"id"`
	Value     string    `json:"value"`
	CreatedAt time.Time `json:"created_at"`
	// RetiresAt is when it stops being accepted; nil: never.
	RetiresAt *time.Time `json:"retires_at,omitempty"`
}

// Signature describes a sender that signs in its own way. The signature covers the
// raw body.
type Signature struct {
	Hash            string           `json:"hash" enum:"sha1,sha256,sha384,sha512" doc:"Hash of the HMAC. sha1 is for senders that know no other."`
	Encoding        string           `json:"encoding" enum:"hex,base64,base64url" doc:"Encoding of the signature."`
	SecretEncoding  string           `json:"secret_encoding,omitempty" enum:"text,hex,base64" doc:"How the secret stands for the key; text, the default: its bytes are the key."`
	SignatureHeader string           `json:"signature_header" doc:"Header with the signature."`
	Prefix          string           `json:"prefix,omitempty" doc:"What stands before the encoded signature, such as sha256=."`
	Fields          *SignatureFields `json:"fields,omitempty" doc:"Set when the signature's header holds several fields, such as t=1,v1=ab."`
	TimestampHeader string           `json:"timestamp_header,omitempty" doc:"Header with the signed timestamp."`
	TimestampFormat string           `json:"timestamp_format,omitempty" enum:"unix,unix-ms,rfc3339" doc:"unix, the default: seconds."`
	IDHeader        string           `json:"id_header,omitempty" doc:"Header with the sender's id of the message, which is signed too."`
	Signed          string           `json:"signed" doc:"What is signed: text around {body}, {timestamp}, {id} and {url}, such as v0:{timestamp}:{body}."`
}

// SignatureFields divides a header with several fields.
type SignatureFields struct {
	Separator string `json:"separator" doc:"What stands between fields."`
	Signature string `json:"signature" doc:"Name of the field with the signature; it may stand several times."`
	Timestamp string `json:"timestamp,omitempty" doc:"Name of the field with the timestamp."`
}

// MTLS says which client certificates are taken: pinned ones, or those of an
// authority.
type MTLS struct {
	Fingerprints []string `json:"fingerprints,omitempty" maxItems:"8" nullable:"false" doc:"SHA-256 of accepted certificates (DER), in hexadecimal."`
	Authority    string   `json:"authority,omitempty" maxLength:"65536" doc:"Certificates of the authority, in PEM."`
	Names        []string `json:"names,omitempty" maxItems:"8" nullable:"false" doc:"With an authority: DNS names or URIs, one of which the certificate must hold."`
}

// The kinds of identity.
const (
	IdentityMessage = "message"
	IdentityHeader  = "header"
	IdentityPointer = "pointer"
	IdentityEach    = "each"
)

// Identity is what makes two messages the same message, of which the second
// adds nothing.
type Identity struct {
	By      string `json:"by" enum:"message,header,pointer,each" doc:"message: what the verifier covers; header: an id in a header, which no signature covers; pointer: an id in the body; each: every delivery is a message of its own."`
	Header  string `json:"header,omitempty" doc:"For header: its name."`
	Pointer string `json:"pointer,omitempty" doc:"For pointer: a JSON Pointer into the body."`
}

// Order finds the key of an event: exactly one of the two is set.
type Order struct {
	Header  string `json:"header,omitempty" doc:"Header with the key."`
	Pointer string `json:"pointer,omitempty" doc:"JSON Pointer to the key in the body."`
}
