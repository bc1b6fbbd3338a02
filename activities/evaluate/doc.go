// Package evaluate sends batches of evaluations to evaluator processes. One
// process has one batch at a time, so that a batch that kills or stalls its
// process is known and fails alone (invariant 9).
//
// It imports schema and activities/evaluate/jq; never worker or api.
package evaluate
