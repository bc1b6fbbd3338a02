package task

import (
	"encoding/json"
	"time"
)

// Record is what the journal keeps of a step, sealed: its decision and the
// values it produced. Both the cell and the API read it.
type Record struct {
	Result StepResult              `json:"result"`
	Values map[Ref]json.RawMessage `json:"values,omitempty"`
	// Until is the instant that Result.Wait ends at; zero when it is zero.
	Until time.Time `json:"until,omitzero"`
}

// At returns the record's answer at an instant: of a wait, what is left of it.
func (r Record) At(now time.Time) StepResult {
	answer := r.Result
	if !r.Until.IsZero() {
		answer.Wait = max(0, r.Until.Sub(now))
	}
	return answer
}
