package config

import (
	"encoding/json"
	"time"

	"github.com/tenonhq/tenon/schema/seal"
)

// Connection is how a connector is set up for one account of one system. It
// holds nothing secret, but says much about a customer, so it is sealed.
type Connection struct {
	// Settings are the connector's own settings, valid against its manifest.
	Settings json.RawMessage `json:"settings"`
	// Use binds the connection's credential: where it may go and how it is
	// put into a request. Without a credential it still binds the hosts.
	Use seal.Use `json:"use"`
	// IdempotencyHeader is the request header that carries the key of an
	// effect, such as "Idempotency-Key"; empty when the system knows none.
	IdempotencyHeader string `json:"idempotency_header"`
	// Lookup says how to find out whether an effect happened; nil when the
	// system cannot be asked.
	Lookup *Lookup `json:"lookup,omitempty"`
	// RotationDays is after how many days its credential should be replaced; 0
	// for the default.
	RotationDays int `json:"rotation_days,omitempty"`
	// MaxCalls bounds the calls that are under way at a time; 0 for the default.
	MaxCalls int `json:"max_concurrent_calls,omitempty"`
	// ThrottlePatience is how many seconds a call that the system does not take
	// for now is made again before the flow is told; nil for the default, 0 for
	// none: then nothing waits.
	ThrottlePatience *int `json:"throttle_patience,omitempty"`
	// Uncertain is the policy for effects with an unknown outcome; nil: ask.
	Uncertain *Uncertain `json:"uncertain,omitempty"`
}

// Lookup is a read that tells whether an effect already happened.
type Lookup struct {
	// Action is a read action of the connection's connector.
	Action string `json:"action"`
	// With is the action's input; "${ $key }" stands for the effect's key and
	// "${ $input }" for the arguments of its call.
	With json.RawMessage `json:"with"`
	// Found is an expression over the action's output, "${ … }", that yields
	// the effect's own output, or null when the effect did not happen.
	Found string `json:"found"`
}

// Base is the address that the connector's requests go below, of connectors that
// have such a setting; empty for none.
func (c Connection) Base() string {
	var settings struct {
		BaseURL string `json:"base_url"`
	}
	if json.Unmarshal(c.Settings, &settings) != nil {
		return "" // Of another type: then it is none.
	}
	return settings.BaseURL
}

// The kinds of event.
const (
	KindWebhook  = "webhook"
	KindCall     = "call"
	KindSchedule = "schedule"
)

// Event is the payload of an event. A run's raw input is Body, for webhooks
// and calls alike, so that a flow is tried by hand with what a sender sends.
type Event struct {
	// Body is the message: the JSON value of a JSON body, else a JSON string
	// of the text, or of standard base64 when Encoding is "base64".
	Body     json.RawMessage `json:"body"`
	Encoding string          `json:"encoding,omitempty"`
	// Headers of a webhook, names in lower case, without signatures,
	// authorization and cookies.
	Headers     map[string]string `json:"headers,omitempty"`
	ContentType string            `json:"content_type,omitempty"`
	// Source is the id of the source of a webhook, or of a schedule.
	Source string `json:"source,omitempty"`
	// Due is the time that a schedule fired for.
	Due time.Time `json:"due,omitzero"`
}

// Input is the raw input of the run that the event starts.
func (e Event) Input() json.RawMessage {
	if len(e.Body) == 0 {
		return json.RawMessage("null")
	}
	return e.Body
}

// Result is how a run ended: exactly one of them is set.
type Result struct {
	Output json.RawMessage `json:"output,omitempty"`
	// From is the step's value that the output is (a task.Ref), in its place: the
	// journal keeps it already.
	From string `json:"from,omitempty"`
	// Error is an error object of the specification: type, status, title,
	// detail, instance.
	Error json.RawMessage `json:"error,omitempty"`
}

// The kinds of command.
const (
	CommandCancel  = "cancel"
	CommandResolve = "resolve"
)

// The outcomes a person can give an uncertain effect.
const (
	// OutcomeDone: it happened; Output stands for what the system answered.
	OutcomeDone = "done"
	// OutcomeFailed: it did not happen and is not to be tried again.
	OutcomeFailed = "failed"
	// OutcomeRetry: it did not happen; do it now.
	OutcomeRetry = "retry"
)

// Command is the arguments of a command; empty for cancel.
type Command struct {
	// Effect is the id of the effect that is resolved.
	Effect  string          `json:"effect,omitempty"`
	Outcome string          `json:"outcome,omitempty"`
	Output  json.RawMessage `json:"output,omitempty"`
	// Reason is what the person noted.
	Reason string `json:"reason,omitempty"`
}
