package jq

import "encoding/json"

// Batch is a list of evaluations over named values, done in order. What an
// evaluation yields may be named by those after it.
type Batch struct {
	// Values are the given values, as JSON.
	Values map[string]json.RawMessage `json:"values,omitempty"`
	Evals  []Eval                     `json:"evals"`
	// Now is what the function "now" yields, in seconds since 1970: the time
	// that the caller recorded. Zero: "now" is an error. There is no clock here.
	Now float64 `json:"now,omitempty"`
}

// Eval evaluates a template, or validates a value.
type Eval struct {
	// To names the value that the template yields.
	To string `json:"to,omitempty"`
	// Template is a JSON value; every string "${ … }" in it is an expression
	// and yields its first output, null when it has none. Empty, without a
	// Schema: To names the value of On too, read from its text as another batch
	// reads it (what gojq computed may be more than JSON tells), and the result
	// does not repeat it.
	Template json.RawMessage `json:"template,omitempty"`
	// On names the value that is "." for expressions, or that Schema judges;
	// empty for null.
	On string `json:"on,omitempty"`
	// Vars binds variables, written with "$", to names of values.
	Vars map[string]string `json:"vars,omitempty"`
	// Halt stops the batch here when the template yields false or null.
	Halt bool `json:"halt,omitempty"`
	// Schema is a JSON Schema, instead of Template.
	Schema json.RawMessage `json:"schema,omitempty"`
}

// Result is what a batch came to.
type Result struct {
	// Values holds what each To names, as far as the batch came.
	Values map[string]json.RawMessage `json:"values,omitempty"`
	// Halted: an evaluation with Halt yielded false or null.
	Halted bool `json:"halted,omitempty"`
	// Failed is the index of the evaluation that Fault is about, or that halted.
	Failed int `json:"failed,omitempty"`
	// Fault is nil when nothing went wrong.
	Fault *Fault `json:"fault,omitempty"`
}

// The types of faults, by the short names of the specification's error types.
const (
	FaultExpression = "expression"
	FaultValidation = "validation"
	FaultRuntime    = "runtime"
)

// Fault is an error of an evaluation: the flow's own, never the platform's.
type Fault struct {
	Type string `json:"type"`
	// Detail says what is wrong, in at most 1,000 bytes. For an expression it
	// holds jq's own message, which may quote the first bytes of a value: it is
	// the run's data, to be sealed with the rest of it and never logged.
	Detail string `json:"detail"`
	// Pointer is where in the template the expression stands, or where in the
	// value the schema is not met.
	Pointer string `json:"pointer,omitempty"`
}
