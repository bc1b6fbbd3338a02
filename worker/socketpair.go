package worker

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/schema"
)

// SocketPair returns the two ends of a connected, unnamed Unix stream socket.
func SocketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, schema.Errorf(schema.CodeUnavailable, "no socket pair could be made: %w", err)
	}
	// Non-blocking, so that the runtime's poller serves it and Close wakes readers.
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, schema.Errorf(schema.CodeUnavailable, "no socket pair could be made: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs"), nil
}
