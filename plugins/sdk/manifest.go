package sdk

import "encoding/json"

// Effect says whether an action changes something in the other system.
type Effect string

// The effects of actions.
const (
	// EffectRead changes nothing: the action may be repeated at will.
	EffectRead Effect = "read"
	// EffectWrite changes something: every run of the action goes through the
	// effect ledger.
	EffectWrite Effect = "write"
)

// Idempotency says how a write is kept from happening twice when it is not
// known whether it happened.
type Idempotency string

// The ways to keep a write from happening twice.
const (
	// IdempotencyKey: the target honours an idempotency key, so that the same
	// request with the same key may be repeated.
	IdempotencyKey Idempotency = "key"
	// IdempotencyLookup: the connector can find out whether it happened.
	IdempotencyLookup Idempotency = "lookup"
	// IdempotencyNone: neither; a person decides.
	IdempotencyNone Idempotency = "none"
)

// Manifest describes a connector. It is what the host, the API and the console
// know of it; the running connector must be the same to the letter.
type Manifest struct {
	// Name identifies the connector: lower-case letters, digits and dashes,
	// at most 63 characters, beginning with a letter.
	Name string `json:"name"`
	// Version is a semantic version without a leading v.
	Version string `json:"version"`
	// Title is what people read.
	Title   string `json:"title"`
	Summary string `json:"summary,omitempty"`
	// Auth lists the ways to authenticate that a connection may choose from;
	// empty means that the system needs none.
	Auth []AuthScheme `json:"auth,omitempty"`
	// Settings is the JSON Schema of a connection's settings. Settings are not
	// secret and a credential is never one of them.
	Settings json.RawMessage `json:"settings,omitempty"`
	Actions  []ActionInfo    `json:"actions"`
	// Test names the read action that shows whether a credential works: it is
	// called with the input {} before a new credential takes the place of an
	// old one. Ending without a fault is the proof. Empty: there is none.
	Test string `json:"test,omitempty"`
}

// The auth schemes.
const (
	AuthBearer = "bearer" // a token in the Authorization header
	AuthHeader = "header" // a value in a header
	AuthQuery  = "query"  // a value in a query parameter
	AuthBasic  = "basic"  // user name and password
	AuthOAuth2 = "oauth2" // access tokens, which the host fetches
	AuthHMAC   = "hmac"   // a signature of each request
	AuthSigV4  = "sigv4"  // AWS Signature Version 4
	AuthMTLS   = "mtls"   // a client certificate
	AuthFree   = "free"   // named values in headers
)

// AuthSchemes are all auth schemes.
func AuthSchemes() []string {
	return []string{AuthBearer, AuthHeader, AuthQuery, AuthBasic, AuthOAuth2, AuthHMAC, AuthSigV4, AuthMTLS, AuthFree}
}

// AuthScheme is a way to authenticate. The host does all of it: a connector
// cannot read a value, nor choose where in a request it goes.
type AuthScheme struct {
	// Scheme is one of [AuthSchemes].
	Scheme string `json:"scheme"`
	Title  string `json:"title"`
	// Inject is what the system fixes of how the credential gets into a request:
	// a JSON object with members of a connection's use.inject, such as
	// {"name":"X-Api-Key"}, {"sigv4":{"service":"sqs"}}, {"oauth2":{"grant":
	// "client_credentials","token_url":"https://id.example.com/token"}}, or, for
	// free, {"headers":[{"name":"DD-API-KEY","value":"api_key"}]}. A connection
	// must have these members with these values and chooses the others. Empty:
	// it chooses all.
	Inject json.RawMessage `json:"inject,omitempty"`
}

// ActionInfo describes one action.
type ActionInfo struct {
	// Name follows the rule of [Manifest.Name].
	Name    string `json:"name"`
	Title   string `json:"title"`
	Summary string `json:"summary,omitempty"`
	Effect  Effect `json:"effect"`
	// Idempotency is required of writes; reads leave it empty.
	Idempotency Idempotency `json:"idempotency,omitempty"`
	// Input and Output are JSON Schemas; empty accepts any JSON value.
	Input  json.RawMessage `json:"input,omitempty"`
	Output json.RawMessage `json:"output,omitempty"`
}
