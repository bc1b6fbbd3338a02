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
// # What is known of an effect
//
// What the other system answered decides, not what the connector makes of it.
// A call that happened is never made again for the same place in the flow; one
// that is known not to have happened may be; the rest is a question:
//
//	answer                           it knows keys            it does not
//	none left this machine           did not happen           did not happen
//	2xx                              happened                 happened
//	301, 307, 308, 4xx but 408       did not happen           did not happen
//	408, 5xx, other 3xx              open: the flow sees the  looked up, else
//	                                 error and may repeat it  uncertain
//	no answer, connector dead        repeated                 looked up, else
//	                                                          uncertain
//
// Open and repeated mean the same request with the same key. Once an attempt
// is unknown, a refusal of the next one proves nothing, and 409 means that the
// first is still being worked on. An effect that a run leaves open when it ends
// stays on the record as uncertain. A lookup that finds nothing proves absence
// only when the call cannot be under way any more.
//
// A call sees the time of its first intent, so that expressions over time make
// the same request again.
//
// It may import schema, plugins and workflows' contracts; never worker or api.
package activities
