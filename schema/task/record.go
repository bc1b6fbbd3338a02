package task

import (
	"encoding/json"
	"maps"
	"time"
)

// Record is what the journal keeps of a step, sealed: its decision and the
// values it produced. Both the cell and the API read it.
type Record struct {
	Result StepResult              `json:"result"`
	Values map[Ref]json.RawMessage `json:"values,omitempty"`
	// From names the values that are the output of an effect of the run, each by the
	// effect's key. The ledger alone keeps them: see [Record.Kept] and [Record.Fill].
	From map[Ref]string `json:"from,omitempty"`
	// Until is the instant that Result.Wait ends at; zero when it is zero.
	Until time.Time `json:"until,omitzero"`
}

// At returns the record's answer at an instant: of a wait, what is left of it.
func (r Record) At(now time.Time) StepResult {
	answer := r.Result
	if !r.Until.IsZero() {
		answer.Wait = r.Left(now)
	}
	return answer
}

// Left is what is left of the record's wait: never more than there was of it, though a
// clock that was ahead has begun it.
func (r Record) Left(now time.Time) time.Duration {
	return min(max(0, r.Until.Sub(now)), r.Result.Wait)
}

// Kept is the record without the values that the ledger keeps.
func (r Record) Kept() Record {
	if len(r.From) == 0 {
		return r
	}
	values := maps.Clone(r.Values)
	for ref := range r.From {
		delete(values, ref)
	}
	r.Values = values
	return r
}

// Fill gives a record that was kept its values back; output tells the output of an
// effect of the run, by its key.
func (r *Record) Fill(output func(effect string) (json.RawMessage, error)) error {
	for ref, effect := range r.From {
		v, err := output(effect)
		if err != nil {
			return err
		}
		if r.Values == nil {
			r.Values = make(map[Ref]json.RawMessage, len(r.From))
		}
		r.Values[ref] = v
	}
	return nil
}
