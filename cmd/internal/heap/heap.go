// Package heap sets how a process's memory is collected. It is for commands.
package heap

import (
	"os"
	"runtime/debug"
)

// percent is how much a heap may grow before it is collected. The live heaps of
// our processes are some megabytes: at the default of 100 a busy one is collected
// many times a second, for a tenth of its processor time.
const percent = 200

// Relax lets the heap grow further between collections, unless who runs the
// process says otherwise with GOGC.
func Relax() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}
