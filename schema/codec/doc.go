// Package codec seals what Temporal keeps for a cell: inputs, results,
// signals, memos, headers and failures, each whole payload with its metadata,
// under the cell's data key (invariant 3).
//
// Search attributes, workflow ids, workflow types, queue and signal names are
// never sealed by Temporal: nothing personal or secret belongs there.
//
// It imports schema, schema/pack and schema/seal only, and the Temporal SDK.
package codec
