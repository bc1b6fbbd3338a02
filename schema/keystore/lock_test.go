package keystore_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/keystore"
)

// TestWritersAreAloneOnEveryMachine: who writes holds the lock of a file, which a
// file server keeps for all machines, and that of the directory. No writer ever
// removes the file.
func TestWritersAreAloneOnEveryMachine(t *testing.T) {
	p := newPairs(t)
	dir := filepath.Join(t.TempDir(), "keys")
	s, err := keystore.Open(dir)
	require.NoError(t, err)
	file := filepath.Join(dir, ".lock")
	e := p.entry(t)
	free := func(path string) error {
		f, err := os.Open(path)
		require.NoError(t, err)
		defer func() { _ = f.Close() }()
		return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	held := func() {
		require.ErrorIs(t, free(file), syscall.EWOULDBLOCK)
		require.ErrorIs(t, free(dir), syscall.EWOULDBLOCK)
	}
	create := func() (keystore.Entry, error) { held(); return e, nil }
	require.NoError(t, s.Create(t.Context(), e.Organization, create))
	first, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), first.Mode())
	require.NoError(t, s.Update(t.Context(), e.Organization, func(*keystore.Entry) error { held(); return nil }))
	require.NoError(t, s.RaiseFloors(t.Context(), e.Organization, map[string]config.Floor{}))
	listed, err := s.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{e.Organization}, listed)
	require.NoError(t, s.Delete(t.Context(), e.Organization))

	last, err := os.Stat(file)
	require.NoError(t, err)
	require.True(t, os.SameFile(first, last))
	require.NoError(t, free(file))
	require.NoError(t, free(dir))
}

// TestAWriterThatStandsStill: others wait for it no longer than they have time.
func TestAWriterThatStandsStill(t *testing.T) {
	p := newPairs(t)
	s, err := keystore.Open(filepath.Join(t.TempDir(), "keys"))
	require.NoError(t, err)
	e := p.entry(t)
	held, leave, left := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		left <- s.Create(context.WithoutCancel(t.Context()), e.Organization, func() (keystore.Entry, error) {
			close(held)
			<-leave
			return e, nil
		})
	}()
	<-held
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.Equal(t, schema.CodeTimeout, schema.CodeOf(s.RaiseFloors(ctx, e.Organization, nil)))
	close(leave)
	require.NoError(t, <-left)
	require.NoError(t, s.RaiseFloors(t.Context(), e.Organization, nil))
}
