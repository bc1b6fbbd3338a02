package workflows

import (
	"encoding/json"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// filter is what catch.errors.with may hold.
type filter struct {
	Type     *string         `json:"type"`
	Status   *float64        `json:"status"`
	Instance *string         `json:"instance"`
	Title    json.RawMessage `json:"title"`
	Detail   json.RawMessage `json:"detail"`
}

// judge decides whether a catch takes an error from the fault alone, which saves
// the step. It decides nothing when expressions, the error's text, or a retry
// policy have a say: delays, jitter and limits by time must be journalled.
func judge(c *flow.Catch, fault *task.Fault) (verdict task.StepResult, decided bool) {
	var want filter
	if c.With != nil {
		//workflowcheck:ignore Decoding a constant into a fixed type is a pure function.
		if !c.With.Literal || json.Unmarshal(c.With.JSON, &want) != nil {
			return verdict, false
		}
	}
	// All that the filter names must agree: one that does not is enough.
	if want.Type != nil && flow.ErrorType(*want.Type) != fault.Type ||
		want.Status != nil && *want.Status != float64(fault.Status) ||
		want.Instance != nil && *want.Instance != fault.Instance {
		return verdict, true
	}
	if want.Title != nil || want.Detail != nil || fault.Ref == "" ||
		c.When != nil || c.ExceptWhen != nil || c.Retry != nil {
		return verdict, false
	}
	verdict.Caught, verdict.Output = true, fault.Ref
	return verdict, true
}
