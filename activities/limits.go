package activities

import (
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// Bounds of what a run may hold, so that a hostile flow or payload harms its
// own run only (invariant 9).
const (
	// maxValue bounds one value of a run.
	maxValue = 4 << 20
	// maxRun bounds all of a run's values together.
	maxRun = 32 << 20
	// maxFaultType bounds the type, title and instance of an error that a flow
	// raises, maxFaultText its detail.
	maxFaultType = 1 << 10
	maxFaultText = 4 << 10
)

const tooLarge = "a value is larger than 4 MiB, or the values of the run are larger than 32 MiB together"

// weight is what a record adds to its run.
func weight(rec task.Record) int {
	n := 0
	for _, v := range rec.Values {
		n += len(v)
	}
	return n
}

// bound turns a record that is too large for its run into a fault. Errors are
// small by construction and always fit.
func (st *runState) bound(req task.StepRequest, rec task.Record) task.Record {
	if rec.Result.Fault != nil {
		return rec
	}
	st.mu.Lock()
	full := st.bytes+weight(rec) > maxRun
	st.mu.Unlock()
	for _, v := range rec.Values {
		full = full || len(v) > maxValue
	}
	if full {
		return faulted(req, problem{Type: flow.TypeRuntime, Title: "Too large", Detail: tooLarge})
	}
	return rec
}
