// Package activities holds every side effect that a workflow asks for: it
// evaluates, calls connectors through the broker, and keeps the journal and
// the effect ledger in the cell's database.
//
// A step is idempotent by its key: what was done once is answered from the
// journal, so that a workflow that is replayed, restarted or rebuilt after the
// loss of the engine's store asks again without harm (invariant 7). A step is
// also single-flight: a second executor of the same key in this process joins
// the live one.
//
// It may import schema, plugins and workflows' contracts; never worker or api.
package activities
