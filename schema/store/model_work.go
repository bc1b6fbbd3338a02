package store

import (
	"time"

	"github.com/tenonhq/tenon/schema"
)

// The states of a run.
const (
	RunPending   = "pending"
	RunRunning   = "running"
	RunWaiting   = "waiting"
	RunCompleted = "completed"
	RunFailed    = "failed"
	RunCanceled  = "canceled"
	// RunUncertain: an effect may or may not have happened, and nobody may
	// guess (invariant 7). A command brings the run back.
	RunUncertain = "uncertain"
)

// Terminal tells whether a run in that state takes no more commits of its
// carrier.
func Terminal(state string) bool {
	switch state {
	case RunCompleted, RunFailed, RunCanceled, RunUncertain:
		return true
	}
	return false
}

// The states of a step.
const (
	StepDone    = "done"
	StepSkipped = "skipped"
	StepFailed  = "failed"
)

// The states of an effect.
const (
	EffectIntent    = "intent"
	EffectDone      = "done"
	EffectFailed    = "failed"
	EffectUncertain = "uncertain"
	EffectResolved  = "resolved"
)

// Run is one execution of a flow. Carrier and Epoch own it.
type Run struct {
	ID          string
	Namespace   string
	Event       string
	EventSeq    int64
	Flow        string
	FlowVersion int
	Digest      string
	Straight    bool
	// OrderKey: of the runs with one key only the first that has not ended, or is
	// uncertain, is worked on. Empty for no order.
	OrderKey  string
	Carrier   string
	Epoch     int64
	State     string
	CreatedAt time.Time
	StartedAt *time.Time
	EndedAt   *time.Time
	// DueAt is when a run that waits goes on by itself; nil for one that does not wait,
	// or whose time had come before it was written.
	DueAt *time.Time
	// WaitsFor is how long the wait is that ends at DueAt; 0 where it is not known.
	WaitsFor  time.Duration
	ErrorType string
	// ResultSealed is the output or the error object.
	ResultSealed []byte
}

// Step is one entry of a run's journal, identified by Run and Key. It never
// changes.
type Step struct {
	Run          string
	Key          string
	Pointer      string
	Kind         string
	Phase        string
	State        string
	StartedAt    time.Time
	EndedAt      time.Time
	RecordSealed []byte
}

// Effect is one call that changes another system, identified by Run and Key.
type Effect struct {
	ID         string
	Run        string
	Key        string
	Connection string
	Action     string
	Digest     []byte
	// IdempotencyKey is empty for the one that follows from run and key: see [Effect.Sent].
	IdempotencyKey string
	Epoch          int64
	// Owner is the process of the last call, until the ledger knows that it is done.
	Owner         string
	State         string
	Attempts      int
	OutcomeSealed []byte
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// Sent is the key that the target of an effect of the organization is sent.
func (e Effect) Sent(organization string) string {
	if e.IdempotencyKey == "" {
		return schema.IdempotencyKey(organization, e.Run, e.Key)
	}
	return e.IdempotencyKey
}

// RunEnd is how a run ends.
type RunEnd struct {
	State        string
	ErrorType    string
	ResultSealed []byte
	At           time.Time
}

// RunCommit is what one owner of a run writes at once. It is fenced: nothing
// is written when Carrier and Epoch do not own the run, or it has ended.
type RunCommit struct {
	Run     string
	Carrier string
	Epoch   int64
	// State is the run's new state; empty leaves it as it is.
	State string
	// DueAt is when a run that waits goes on by itself, at the latest; it goes
	// with the state RunWaiting, and any other state takes it away. WaitsFor is how
	// long the wait is that ends then.
	DueAt    time.Time
	WaitsFor time.Duration
	// StartedAt is kept by the first commit that gives it.
	StartedAt *time.Time
	// Steps are added to the journal. A step that is already there must be
	// the same to the byte, so that a commit may be repeated.
	Steps []Step
	// Effects are added or updated. The digest and the id of an effect that
	// is already there cannot change (invariant 7).
	Effects []Effect
	End     *RunEnd
	Audit   []AuditDraft
	// Alerts are raised when the commit is written.
	Alerts []Alert
}
