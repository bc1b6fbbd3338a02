// Command tenon-eval evaluates the expressions of flows: batches come in as
// frames on descriptor 0, results go out on descriptor 1. It is started by the
// launcher, in a sandbox, and holds nothing but the batch of the moment.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/tenonhq/tenon/activities/evaluate/jq"
)

const (
	// hardMemory bounds the process when its launcher set no lower bound: a
	// batch that wants more ends the process and fails alone (invariant 9).
	hardMemory = 256 << 20
	// gcPercent lets the heap grow to some megabytes between collections: what
	// lives between batches is little, and an idle evaluator is ended.
	gcPercent = 100
	// maxStack bounds recursion inside one step; the default is 1 GB.
	maxStack = 64 << 20
)

func main() {
	if err := run(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "tenon-eval:", err)
		os.Exit(1)
	}
}

func run() error {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(gcPercent)
	debug.SetMaxStack(maxStack)
	// An end by lack of memory is expected: one line of it says enough.
	debug.SetTraceback("none")
	limit, err := limitMemory()
	if err != nil {
		return err
	}
	// Collect harder only near the end: a bomb should end soon.
	debug.SetMemoryLimit(limit / 4 * 3)
	in, err := polled(syscall.Stdin)
	if err != nil {
		return err
	}
	out, err := polled(syscall.Stdout)
	if err != nil {
		return err
	}
	return jq.Serve(in, out, func() { os.Exit(1) })
}

// polled is a descriptor that is waited for by the runtime's poller. In a call that
// blocks, the process's one processor would be handed to another thread and back again
// with every batch, which costs as much as a small batch does.
func polled(descriptor int) (*os.File, error) {
	if err := syscall.SetNonblock(descriptor, true); err != nil {
		return nil, fmt.Errorf("descriptor %d: %w", descriptor, err)
	}
	return os.NewFile(uintptr(descriptor), ""), nil
}

// limitMemory gives the bound that holds, set by the launcher or here.
func limitMemory() (int64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_DATA, &limit); err != nil {
		return 0, fmt.Errorf("reading the memory limit: %w", err)
	}
	if limit.Cur <= hardMemory {
		return int64(min(limit.Cur, hardMemory)), nil
	}
	limit.Cur, limit.Max = hardMemory, hardMemory
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &limit); err != nil {
		return 0, fmt.Errorf("setting the memory limit: %w", err)
	}
	return hardMemory, nil
}
