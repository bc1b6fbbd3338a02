// Package heap sets how a process's memory is collected. It is for commands.
package heap

import (
	"os"
	"runtime/debug"
)

// percent is how much a heap may grow before it is collected. The live heaps of
// our processes are a few megabytes: at the default of 100 a busy one is
// collected many times a second, for a tenth of its processor time.
const percent = 400

// Relax lets the heap grow further between collections, as long as the process
// takes less than limit bytes; near it, collections come as often as they must.
// Who runs the process says otherwise with GOGC and GOMEMLIMIT.
func Relax(limit int64) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}
