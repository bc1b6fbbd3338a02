// Package flow reads flow documents: Open Workflow Specification 1.0.3, as YAML
// or as JSON. [Parse] bounds, checks and normalises a document, and says where
// each fault is with a JSON Pointer.
//
// A document is hostile input (invariant 9): its size, depth, number of values
// and number of tasks are bounded before anything is decoded, aliases count as
// often as they are used, and expressions are compiled here but never run.
//
// It imports schema and libraries; nothing else of ours.
package flow
