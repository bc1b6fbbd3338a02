package keystore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tenonhq/tenon/schema"
)

// lockFile is the file by which one writes at a time, on whichever machine. It
// stays: removing it would let two lock two files of one name.
const lockFile = ".lock"

// lockRetry is the pause between two attempts to take the lock.
const lockRetry = 5 * time.Millisecond

// alone holds the store's lock. It is held for as long as it takes to write a file,
// and ends with the process that holds it; one that stands still meanwhile, maybe on
// another machine, is waited for until the context ends. On NFS the lock of a
// directory is the machine's own, and that of a file is the server's; the
// directory's is what programs of before take.
func (s *Store) alone(ctx context.Context, do func() error) error {
	for _, at := range []struct {
		path string
		flag int
	}{{s.dir, os.O_RDONLY}, {filepath.Join(s.dir, lockFile), os.O_RDWR | os.O_CREATE}} {
		f, err := os.OpenFile(at.path, at.flag, 0o600)
		if err != nil {
			return schema.Errorf(schema.CodeUnavailable, "the key store could not be opened: %w", err)
		}
		defer func() { _ = f.Close() }()
		if err := lock(ctx, f); err != nil {
			return err
		}
	}
	return do()
}

func lock(ctx context.Context, f *os.File) error {
	t := time.NewTicker(lockRetry)
	defer t.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return schema.Errorf(schema.CodeUnavailable, "the key store could not be locked: %w", err)
		}
		select {
		case <-ctx.Done():
			return schema.Errorf(schema.CodeTimeout, "the key store is locked by another process: %w", ctx.Err())
		case <-t.C:
		}
	}
}
