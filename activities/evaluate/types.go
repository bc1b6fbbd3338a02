package evaluate

import "github.com/tenonhq/tenon/activities/evaluate/jq"

// The messages between the cell and its evaluators.
type (
	// Batch is a list of evaluations over named values.
	Batch = jq.Batch
	// Eval is one evaluation.
	Eval = jq.Eval
	// Result is what a batch came to.
	Result = jq.Result
	// Fault is an error of an evaluation.
	Fault = jq.Fault
)
