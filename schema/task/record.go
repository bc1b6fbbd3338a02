package task

import "encoding/json"

// Record is what the journal keeps of a step, sealed: its decision and the
// values it produced. Both the cell and the API read it.
type Record struct {
	Result StepResult              `json:"result"`
	Values map[Ref]json.RawMessage `json:"values,omitempty"`
}
