package workflows

import "github.com/tenonhq/tenon/schema/task"

// ending says how a step, a task or a list of tasks came to its end.
type ending int

const (
	// proceed: it ran to completion, or was skipped.
	proceed ending = iota
	// exited: a list was left by "exit"; only a loop needs to know.
	exited
	// ended: "end" ends the run.
	ended
	// faulted: an error of the specification, which a try may catch.
	faulted
	// broken: an error that the interpreter raises against a document that does
	// not stop or cannot be followed; no try catches it.
	broken
	// expired: a deadline around it has passed.
	expired
	// parked: the carrier hands its runs over to a new execution.
	parked
	// stopped: the carrier no longer works on the run, or is canceled.
	stopped
)

// outcome is an ending with what goes with it. data and context hold for
// proceed, exited and ended; context for faulted too.
type outcome struct {
	ending   ending
	data     task.Ref
	context  task.Ref
	fault    *task.Fault
	deadline *deadline
}

// breach makes the outcome of an error that the interpreter itself raises.
// The detail is a constant: it goes into the engine's history.
func breach(typ string, status int, pointer, detail string) outcome {
	return outcome{ending: broken, fault: &task.Fault{Type: typ, Status: status, Instance: pointer, Detail: detail}}
}
