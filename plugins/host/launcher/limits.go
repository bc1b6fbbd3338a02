package launcher

import (
	"cmp"

	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/plugins/host/internal/order"
)

// Defaults and floors of limits.
const (
	defaultMemory  = 256 << 20
	defaultThreads = 64
	defaultFiles   = 64
	// A Go program maps its heap in arenas of 64 MiB: with less it cannot start.
	leastMemory = 96 << 20
	// addressSpace, beside the memory: reservations that cost nothing, such as
	// those of Go's allocator; bounded, since page tables are not free.
	addressSpace = 2 << 30
)

// limit sets what the kernel enforces. RLIMIT_DATA counts private writable
// memory; shared mappings, which it does not count, are refused by the filter.
// A file may be made (a socket's place is taken that way) but get no content.
func limit(l order.Limits) error {
	memory := max(cmp.Or(l.MemoryBytes, defaultMemory), leastMemory)
	limits := []struct {
		resource int
		value    uint64
	}{
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_FSIZE, 0},
		{unix.RLIMIT_MSGQUEUE, 0},
		{unix.RLIMIT_MEMLOCK, 0},
		{unix.RLIMIT_SIGPENDING, 128},
		{unix.RLIMIT_STACK, 8 << 20},
		{unix.RLIMIT_NOFILE, cmp.Or(l.OpenFiles, defaultFiles)},
		{unix.RLIMIT_NPROC, cmp.Or(l.Processes, defaultThreads)},
		{unix.RLIMIT_CPU, cmp.Or(l.CPUSeconds, unix.RLIM_INFINITY)},
		{unix.RLIMIT_AS, memory + addressSpace},
		{unix.RLIMIT_DATA, memory},
	}
	for _, x := range limits {
		var now unix.Rlimit
		if err := unix.Getrlimit(x.resource, &now); err != nil {
			return err
		}
		value := min(x.value, now.Max)
		if err := unix.Setrlimit(x.resource, &unix.Rlimit{Cur: value, Max: value}); err != nil {
			return err
		}
	}
	return nil
}
