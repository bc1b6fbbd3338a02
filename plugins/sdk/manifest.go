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
}

// AuthScheme is a way to authenticate: "bearer", "header", "query" or "basic".
type AuthScheme struct {
	Scheme string `json:"scheme"`
	Title  string `json:"title"`
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
