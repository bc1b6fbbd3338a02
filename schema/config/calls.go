package config

import "encoding/json"

// What an effect is taken for when nobody can find out whether it happened.
const (
	// UncertainAsk: the run stops, and a person decides.
	UncertainAsk = "ask"
	// UncertainDone: it happened; Output stands for what the system answered.
	UncertainDone = "done"
	// UncertainFailed: it did not; the flow goes on with an error.
	UncertainFailed = "failed"
	// UncertainRepeat: to do it twice is harmless; it is repeated.
	UncertainRepeat = "repeat"
)

// Of a connection that sets none of its own.
const (
	// DefaultCalls bounds the calls that are under way at a time.
	DefaultCalls = 16
	// DefaultPatience is [Connection.ThrottlePatience], in seconds.
	DefaultPatience = 300
)

// Uncertain is what the owner of a connection has decided beforehand for its
// effects with an unknown outcome: an instruction, no guess (invariant 7).
type Uncertain struct {
	Outcome string          `json:"outcome" enum:"ask,done,failed,repeat" doc:"ask, the default: the run stops as uncertain, and a person decides. done: it is taken for done. failed: it is taken for not done, and the flow goes on with an error. repeat: to do it twice is harmless, so it is repeated."`
	Output  json.RawMessage `json:"output,omitempty" doc:"For done: what stands for the other system's answer; null when it is left out."`
}
