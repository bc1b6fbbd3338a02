package supervisor

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/worker/process"
)

const (
	// identityFile holds the host's id, and is locked while the host lives.
	identityFile = "host"
	// identityPatience is how long a host waits for the one before it to end.
	identityPatience = 2 * time.Second
)

// identify takes the identity of the directory's host. It outlives the
// process, so that a host which was killed takes its own leases again at once
// instead of waiting for them to expire; the lock keeps it one process's.
func identify(ctx context.Context, directory string) (id string, lock *os.File, err error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return "", nil, schema.Errorf(schema.CodeUnavailable, "the directory of the cells' sockets could not be made: %w", err)
	}
	lock, err = process.Lock(ctx, filepath.Join(directory, identityFile), identityPatience)
	if err != nil {
		if schema.CodeOf(err) == schema.CodeConflict {
			err = schema.Errorf(schema.CodeConflict, "another host runs on this data directory").Advise("Stop it first, or give this one a data directory of its own.")
		}
		return "", nil, err
	}
	text, err := io.ReadAll(io.LimitReader(lock, 256))
	if err == nil {
		if id = strings.TrimSpace(string(text)); schema.CheckID(schema.PrefixHost, id) == nil {
			return id, lock, nil
		}
		id = schema.NewID(schema.PrefixHost)
		err = errors.Join(lock.Truncate(0), writeAt(lock, id+"\n"), lock.Sync())
	}
	if err != nil {
		return "", nil, errors.Join(schema.Errorf(schema.CodeUnavailable, "the host's identity could not be kept: %w", err), lock.Close())
	}
	return id, lock, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// retake claims the cells that this host held when it was killed. What ran them
// is dead: they end with their host, and each holds a lock while it lives.
func (h *Host) retake(ctx context.Context) error {
	held, err := h.cfg.Control.RenewCells(ctx, h.id, time.Now().UTC().Add(lease))
	if err != nil {
		return err
	}
	for _, row := range held {
		if err := h.cfg.Control.ReleaseCell(ctx, h.id, row.Organization, row.Epoch); err != nil {
			return err
		}
	}
	if len(held) > 0 {
		h.cfg.Logger.InfoContext(ctx, "taking the cells of the process before again", "cells", len(held))
	}
	return nil
}
