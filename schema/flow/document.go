package flow

import (
	"encoding/json"
	"time"
)

// Document is a parsed, validated and normalised flow document (Open Workflow
// Specification 1.0.3). It is immutable once returned by [Parse].
type Document struct {
	// DSL is the specification version the document asks for, such as "1.0.3".
	DSL string
	// Namespace, Name and Version are the document's own identity.
	Namespace, Name, Version string
	Title, Summary           string
	Tags                     map[string]string
	// Input and Output are nil when the document has none.
	Input  *Input
	Output *Output
	// Timeout bounds the whole run; zero is none.
	Timeout *Template
	Do      []Task
	// Straight says that a run never parks: no wait, listen or sub-flow
	// anywhere, and no retry after a LongPause, so that one workflow may carry
	// several of its runs.
	Straight bool
	// Digest is the lower-case hexadecimal SHA-256 of Canonical.
	Digest string
	// Canonical is the document as JSON with sorted keys and no white space;
	// parsing it again gives the same document and digest.
	Canonical json.RawMessage

	tasks map[string]*Task // by pointer
}

// Kind names what a task does.
type Kind string

// The kinds of task that can be executed.
const (
	KindSet    Kind = "set"
	KindDo     Kind = "do"
	KindSwitch Kind = "switch"
	KindCall   Kind = "call"
	KindTry    Kind = "try"
	KindRaise  Kind = "raise"
	KindWait   Kind = "wait"
	KindFor    Kind = "for"
)

// The directives that Then may hold besides the name of a sibling task. An
// empty Then means [ThenContinue].
const (
	ThenContinue = "continue"
	ThenExit     = "exit"
	ThenEnd      = "end"
)

// Task is one named task. Exactly the field of its Kind is set.
type Task struct {
	Name string
	// Pointer is the JSON Pointer of the task in the document: "/do/0/getPet".
	Pointer string
	Kind    Kind
	// If is nil when the task always runs.
	If     *Template
	Input  *Input
	Output *Output
	Export *Export
	// Timeout is nil when the task has none; it evaluates to an ISO 8601
	// duration string or a duration object.
	Timeout *Template
	Then    string

	Set    *Template
	Do     []Task
	Switch []Case
	Call   *Call
	Try    *Try
	Raise  *Template // evaluates to an error object: type, status, title, detail, instance
	Wait   *Template // evaluates to an ISO 8601 duration string or a duration object
	For    *For
}

// Template is a JSON value in which every string of the form "${ … }" is a
// runtime expression. Fields that the specification types as expressions are
// normalised to that form, whether or not the document wrapped them.
type Template struct {
	JSON json.RawMessage
	// Literal says that no expression occurs anywhere in JSON.
	Literal bool
}

// Input describes what enters a document or a task.
type Input struct {
	// Schema is a JSON Schema, nil for none.
	Schema json.RawMessage
	From   *Template
}

// Output describes what leaves a document or a task.
type Output struct {
	Schema json.RawMessage
	As     *Template
}

// Export describes the new context after a task.
type Export struct {
	Schema json.RawMessage
	As     *Template
}

// Case is one case of a switch, in document order. When is nil for the default.
type Case struct {
	Name string
	When *Template
	Then string
}

// Call is a call of the specification's own functions or of a connector action.
//
// "call: http" gives Connector "http", Action "request" and the arguments of
// the specification under With. "call: NAME.ACTION:VERSION@CONNECTION" gives
// the connector's name, action and version, and the connection's name or id.
type Call struct {
	Connector string
	Action    string
	Version   string
	// Connection is the name or id of a connection of the run's namespace;
	// for "call: http" it is what endpoint.authentication.use names. Empty:
	// the call is made without a credential.
	Connection string
	With       Template
}

// Try is a try task. Catch is never nil.
type Try struct {
	Do    []Task
	Catch *Catch
}

// Catch says which errors a try handles and how.
type Catch struct {
	// With filters statically: keys type, status, title, detail, instance;
	// nil matches every error.
	With *Template
	// As names the variable that holds the error, "error" by default.
	As         string
	When       *Template
	ExceptWhen *Template
	Retry      *Retry
	Do         []Task
}

// Retry is a retry policy, inline or resolved from use.retries.
type Retry struct {
	When       *Template
	ExceptWhen *Template
	// Delay is the delay before the first retry.
	Delay   time.Duration
	Backoff Backoff
	// Attempts is the largest number of retries; zero means no bound by count.
	Attempts int
	// AttemptDuration and Duration bound one attempt and all; zero is none.
	AttemptDuration time.Duration
	Duration        time.Duration
	// Jitter is added at random between the two bounds.
	JitterFrom, JitterTo time.Duration
}

// Backoff names how the delay grows from one retry to the next.
type Backoff string

// The back-off strategies of the specification; constant is the default.
const (
	BackoffConstant    Backoff = "constant"
	BackoffLinear      Backoff = "linear"
	BackoffExponential Backoff = "exponential"
)

// For is a loop over a collection.
type For struct {
	// Each and At name the loop variables: "item" and "index" by default.
	Each, At string
	In       Template
	While    *Template
	Do       []Task
}
