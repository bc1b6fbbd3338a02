package worker

import (
	"bufio"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// garbagePercent is how much a cell's heap may grow before it is collected. A
// few megabytes of it live: at the default of 100 a busy cell collects many times
// a second, for a tenth of its processor time. An idle one gives all of it back.
const garbagePercent = 400

// collect sets how memory is collected: seldom, until half of what there may be is
// taken, and from there as often as it must.
func collect(memory int64) {
	debug.SetGCPercent(garbagePercent)
	if memory > 0 {
		debug.SetMemoryLimit(memory / 2)
	}
}

// text are the parts of this process's program that it only reads, as addresses
// and lengths.
type text [][2]uintptr

// ownText reads where the program is mapped. It comes before the process
// confines itself: afterwards it cannot read that.
func ownText() text {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	var out text
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if from, to, ok := readOnly(lines.Text(), exe); ok {
			out = append(out, [2]uintptr{from, to - from})
		}
	}
	return out
}

// readOnly reads a line of /proc/PID/maps: is it a mapping of the program that
// cannot be written? One that can may hold what is in no file.
func readOnly(line, program string) (from, to uintptr, ok bool) {
	fields := strings.Fields(line)
	if len(fields) != 6 || fields[5] != program || fields[1] != "r-xp" && fields[1] != "r--p" {
		return 0, 0, false
	}
	low, high, _ := strings.Cut(fields[0], "-")
	a, errA := strconv.ParseUint(low, 16, 64)
	b, errB := strconv.ParseUint(high, 16, 64)
	return uintptr(a), uintptr(b), errA == nil && errB == nil && a < b
}

// release gives back what an idle process does not need: free memory of the
// heap, and the pages of its program, most of which only its start has touched.
// Those stay in the kernel's cache, where all cells share them, as long as there
// is room.
func (t text) release() {
	debug.FreeOSMemory()
	for _, m := range t {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m[0], m[1], unix.MADV_DONTNEED)
	}
}
