package crash

import (
	"path/filepath"
	"strconv"
)

// Point is a place at which a process can be made to end.
type Point uint16

// The points, by what is done before them and not yet after them.
const (
	// EventKept: an event is on disk; its cell is not marked, its sender not answered.
	EventKept Point = iota + 1
	// EventMarked: as EventKept, and its cell is marked.
	EventMarked
	// CommandKept: a command is on disk; its cell is not marked, its sender not answered.
	CommandKept
	// CellClaimed: a lease is taken; no process of the cell is started.
	CellClaimed
	// CellOwned: a cell's process has fenced those before it, and taken up nothing.
	CellOwned
	// RunsKept: rows of new runs are on disk; their carriers are not started.
	RunsKept
	// RunsTaken: runs are a new carrier's; it is not started.
	RunsTaken
	// CarrierStarted: the engine has a carrier; the relay has not taken note.
	CarrierStarted
	// IntentKept: an effect's intent is on disk; no byte of its request has left.
	IntentKept
	// AnswerReceived: the other system has answered; its answer is on no disk.
	AnswerReceived
	// EffectKept: an effect's outcome is on disk; the next effect has not begun.
	EffectKept
	// StepKept: a step is on disk; the engine is not told.
	StepKept
	// StretchKept: several steps are on disk; the engine is not told.
	StretchKept
	// RunParked: a run is on disk as uncertain; the engine is not told.
	RunParked
	// RunFinished: the end of a run is on disk; the engine is not told.
	RunFinished
	// CommandApplied: what a command does is on disk; nobody has acted on it.
	CommandApplied
	// SleepTold: a cell has told its host that it sleeps; its process is there.
	SleepTold
	// SleepKept: when a cell wakes is on disk; its host has not let it go.
	SleepKept
	// KeysKept: the key store is a step further in a rotation; its row is not.
	KeysKept
	// KeyRetired: nothing more is sealed with a former key; nothing is sealed anew.
	KeyRetired
	// KeyUnused: all is sealed anew; that nothing is left is not said.
	KeyUnused

	// Points is one more than the last of them.
	Points
)

var names = [Points]string{
	EventKept: "event kept", EventMarked: "event marked", CommandKept: "command kept",
	CellClaimed: "cell claimed", CellOwned: "cell owned",
	RunsKept: "runs kept", RunsTaken: "runs taken", CarrierStarted: "carrier started",
	IntentKept: "intent kept", AnswerReceived: "answer received", EffectKept: "effect kept",
	StepKept: "step kept", StretchKept: "stretch kept", RunParked: "run parked", RunFinished: "run finished",
	CommandApplied: "command applied", SleepTold: "sleep told", SleepKept: "sleep kept",
	KeysKept: "keys kept", KeyRetired: "key retired", KeyUnused: "key unused",
}

// String names the point as in the line that a process leaves of it.
func (p Point) String() string {
	if p >= Points || names[p] == "" {
		return "point " + strconv.Itoa(int(p))
	}
	return names[p]
}

// Reached begins the line that a process writes to its standard error before
// it ends; [Point.By] is the rest.
const Reached = "crash point reached: "

// By names the point and the process, by its first argument.
func (p Point) By(argument string) string { return p.String() + " by " + argument }

// Order is what the first eight bytes of an order's file say, in the byte order
// of the machine: end at the n-th passage of the point from here on. The serial
// number tells one order from the next; zero is no order.
func Order(p Point, n, serial uint16) uint64 {
	return uint64(serial)<<32 | uint64(n)<<16 | uint64(p)
}

// File is where the orders of a process stand: beside its program, and named
// after it and its first argument.
func File(program, argument string) string {
	return filepath.Clean(program) + "." + argument + ".crash"
}
