// Package order is what a cell and its launcher say to each other: one JSON
// message a packet on a socket pair, files beside it.
//
// May import: the standard library and golang.org/x/sys only; the launcher
// links it, and the launcher is small.
package order

import (
	"encoding/json"
	"errors"
	"fmt"
)

// MaxPacket bounds a packet. The kernel's default socket buffer holds several.
const MaxPacket = 64 << 10

// How the launcher itself is confined, its first argument. The second is the
// directory in which all socket directories are.
const (
	// Enclosed: it was started in a user and mount namespace of its own.
	Enclosed = "enclosed"
	// WithoutNamespaces: it was not, and does without any for its children, too.
	WithoutNamespaces = "without-namespaces"
)

// Verbs of an order.
const (
	VerbStart = "start"
	VerbKill  = "kill"
)

// Order is what the cell asks of the launcher.
type Order struct {
	// ID names the start and, later, the process started by it.
	ID   uint64 `json:"id"`
	Verb string `json:"verb"`
	Spec Spec   `json:"spec,omitzero"`
}

// Spec describes a process to start. With the order travel its files: the
// executable, then those of standard input, output and error that are set.
type Spec struct {
	Args   []string `json:"args"`
	Env    []string `json:"env,omitempty"`
	Stdin  bool     `json:"stdin,omitempty"`
	Stdout bool     `json:"stdout,omitempty"`
	Stderr bool     `json:"stderr,omitempty"`
	// Directory is where the process may bind its socket; it is the working
	// directory of the process and all that it sees of the file system.
	Directory string `json:"directory,omitempty"`
	Limits    Limits `json:"limits"`
}

// Limits of a process, each enforced by the kernel; 0 leaves the launcher's
// default, see package launcher.
type Limits struct {
	// MemoryBytes bounds the private writable memory.
	MemoryBytes uint64 `json:"memory_bytes,omitempty"`
	// Processes bounds threads: no sandboxed process can fork.
	Processes uint64 `json:"processes,omitempty"`
	OpenFiles uint64 `json:"open_files,omitempty"`
	// CPUSeconds bounds the processor time of the whole life of the process.
	CPUSeconds uint64 `json:"cpu_seconds,omitempty"`
}

// Reply is what the launcher tells the cell. Its first, with ID 0, says that it
// is ready and what is Missing of the sandbox. A start is answered by one with
// PID or Error, and a process that was started by one with Exited.
type Reply struct {
	ID      uint64   `json:"id"`
	Missing []string `json:"missing,omitempty"`
	PID     int      `json:"pid,omitempty"`
	Error   string   `json:"error,omitempty"`
	Exited  bool     `json:"exited,omitempty"`
	// Status is how the process ended: "exit 1", "signal killed".
	Status string `json:"status,omitempty"`
}

// Files gives the number of files that must travel with the order.
func (s Spec) Files() int {
	n := 1
	for _, set := range []bool{s.Stdin, s.Stdout, s.Stderr} {
		if set {
			n++
		}
	}
	return n
}

// Parse reads an order and checks it against the number of files beside it.
func Parse(packet []byte, files int) (Order, error) {
	var o Order
	if err := json.Unmarshal(packet, &o); err != nil {
		return Order{}, fmt.Errorf("malformed order: %w", err)
	}
	if o.ID == 0 {
		return Order{}, errors.New("an order needs an id")
	}
	switch o.Verb {
	case VerbStart:
		if len(o.Spec.Args) == 0 {
			return Order{}, errors.New("an order to start needs arguments")
		}
		if files != o.Spec.Files() {
			return Order{}, fmt.Errorf("the order needs %d files, %d came with it", o.Spec.Files(), files)
		}
	case VerbKill:
		if files != 0 {
			return Order{}, errors.New("an order to kill comes with files")
		}
	default:
		return Order{}, errors.New("unknown verb")
	}
	return o, nil
}
