package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/schema"
)

// lockRetry is the pause between two attempts to take a lock.
const lockRetry = 10 * time.Millisecond

// Lock takes the file's lock, which the kernel gives back when this process
// ends, however it ends. It waits no longer than the patience for another
// process to give it up; the error is CodeConflict then. The file stays when
// the lock is released: removing it would let two processes lock two files of
// one name.
func Lock(ctx context.Context, path string, patience time.Duration) (*os.File, error) {
	f, err := os.OpenFile(filepath.Clean(path), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the lock file could not be opened: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t := time.NewTicker(lockRetry)
	defer t.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return f, nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return nil, errors.Join(schema.Errorf(schema.CodeUnavailable, "the lock could not be taken: %w", err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(schema.Errorf(schema.CodeConflict, "another process holds the lock %s", path), f.Close())
		case <-t.C:
		}
	}
}
