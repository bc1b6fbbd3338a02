// Package workflows is the deterministic interpreter of flow documents: the
// workflow that carries runs, each as a coroutine that walks its document and
// asks activities for everything that touches data, time or another system.
//
// It computes decisions on references only: what a run computes never passes
// through here, so it is not in the engine's history either. Documents are
// data and this code is versioned: [task.InterpreterVersion] is frozen into a
// carrier's input, and testdata/histories holds recorded histories that a test
// replays against the present code.
//
// It imports schema/flow, schema/task and the workflow half of the
// engine's SDK, nothing else of ours.
//
// # What the specification leaves open
//
//   - A task whose "if" is false was not executed: its "then" does not apply and
//     the next task in line follows.
//   - "exit" leaves the composite task that lists the task: a do, a try, a
//     catch, and of a for the whole loop, not the iteration only.
//   - "end" ends the run with the output of the task that says so; the output
//     and export of the composites around it are not applied, the document's is.
//   - A retried try starts again from the data and the context that entered it:
//     the same input gives the same requests, hence the same effects. The tasks
//     of catch see the context as it was at the fault.
//   - When a retry policy is exhausted, catch.do handles the error; without a
//     catch.do the error goes on. Without a retry policy and without catch.do,
//     the error is swallowed and the try's input is its output.
//   - A timeout undoes nothing but the exports made inside the task that timed out.
//
// # Keys
//
// A step's key names one phase of one visit of one task in one run, uniquely:
//
//	key    = path [ ":" phase ] | ":enter" | ":timeout" | ":expire" | ":finish"
//	path   = segment { segment }
//	segment = place index "/" name [ "#" visit ] [ "[" iteration "]" ] [ "~" attempt ]
//	place  = "/do/" | "/try/" | "/catch/do/"
//	phase  = "enter" | "leave" | "catch" | "item" | "timeout" | "expire" |
//	         "attempt" | "overrun"
//
// A leaf's one step has no phase. Visits count from 2, attempts (retries of a
// try) from 1, iterations from 0; "attempt" and "overrun" are the timeout and
// expire phases of one attempt of a try. The name is as in the JSON Pointer.
//
// It is unique whatever a name holds: the index decides the name, so a key can
// be read from left to right beside the document, and what follows a name can
// only be a suffix. An effect is the path without its attempts.
package workflows
