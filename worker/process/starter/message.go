package starter

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/worker/process"
)

const (
	// maxPacket bounds a packet.
	maxPacket = 64 << 10
	// maxFiles bounds the descriptors of one, the standard streams included.
	maxFiles = 8
)

// Verbs of an order.
const (
	verbStart  = "start"
	verbSignal = "signal"
)

// order is what the client asks. With a start travel its descriptors: standard
// output and error where they are set, then those from 3 on.
type order struct {
	// ID names the start and, later, the child started by it.
	ID   uint64 `json:"id"`
	Verb string `json:"verb"`
	// Program is the name of one of the starter's programs.
	Program string         `json:"program,omitempty"`
	Args    []string       `json:"args,omitempty"`
	Env     []string       `json:"env,omitempty"`
	Stdout  bool           `json:"stdout,omitempty"`
	Stderr  bool           `json:"stderr,omitempty"`
	Files   int            `json:"files,omitempty"`
	Limits  process.Limits `json:"limits,omitzero"`
	Signal  int            `json:"signal,omitempty"`
}

// reply is what the starter tells. Its first, with ID 0, says that it is ready
// and what is Missing of its confinement. A start is answered by PID or Error,
// and its end by Ended, with Status unless it was in order.
type reply struct {
	ID      uint64   `json:"id"`
	Missing []string `json:"missing,omitempty"`
	PID     int      `json:"pid,omitempty"`
	Error   string   `json:"error,omitempty"`
	Ended   bool     `json:"ended,omitempty"`
	Status  string   `json:"status,omitempty"`
}

// parse reads an order and checks it against the programs and the number of
// descriptors beside it. With an error the order has its ID if it is a start,
// which is to be answered.
func parse(packet []byte, programs []string, files int) (order, error) {
	var o order
	if err := json.Unmarshal(packet, &o); err != nil {
		return order{}, fmt.Errorf("malformed order: %w", err)
	}
	switch {
	case o.ID == 0:
		return order{}, errors.New("an order needs an id")
	case o.Verb == verbSignal:
		if s := unix.Signal(o.Signal); s != unix.SIGTERM && s != unix.SIGKILL && s != unix.SIGINT {
			return order{}, errors.New("no such signal is passed on")
		}
		if files != 0 {
			return order{}, errors.New("a signal comes with descriptors")
		}
	case o.Verb != verbStart:
		return order{ID: o.ID}, errors.New("unknown verb")
	case !slices.Contains(programs, o.Program):
		return order{ID: o.ID}, errors.New("this starter does not start that program")
	case o.Files < 0 || files != o.count():
		return order{ID: o.ID}, fmt.Errorf("the order needs %d descriptors, %d came with it", o.count(), files)
	}
	return o, nil
}

// count is the number of descriptors that travel with the order.
func (o order) count() int {
	n := o.Files
	for _, set := range []bool{o.Stdout, o.Stderr} {
		if set {
			n++
		}
	}
	return n
}
