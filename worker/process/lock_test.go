package process

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
)

// lockFile tells the test binary to hold a lock until it is killed.
const lockFile = "TENON_TEST_LOCK"

func TestMain(m *testing.M) {
	if path := os.Getenv(lockFile); path != "" {
		f, err := Lock(context.Background(), path, time.Second)
		if err != nil {
			os.Exit(1)
		}
		_, _ = os.Stdout.WriteString("locked\n")
		_, _ = os.Stdin.Read(make([]byte, 1))
		_ = f.Close()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestALockEndsWithItsProcess kills the holder: the lock is free at once.
func TestALockEndsWithItsProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	holder := exec.CommandContext(t.Context(), os.Args[0])
	holder.Env = append(os.Environ(), lockFile+"="+path)
	out, err := holder.StdoutPipe()
	require.NoError(t, err)
	in, err := holder.StdinPipe()
	require.NoError(t, err)
	defer func() { _ = in.Close() }()
	require.NoError(t, holder.Start())
	_, err = out.Read(make([]byte, len("locked\n")))
	require.NoError(t, err)

	_, err = Lock(t.Context(), path, 50*time.Millisecond)
	require.Equal(t, schema.CodeConflict, schema.CodeOf(err), "%v", err)

	require.NoError(t, holder.Process.Kill())
	_ = holder.Wait()
	f, err := Lock(t.Context(), path, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// TestALockIsWaitedFor gives the lock up while another waits for it.
func TestALockIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Lock(t.Context(), path, 0)
	require.NoError(t, err)
	got := make(chan error, 1)
	go func() {
		f, err := Lock(t.Context(), path, 10*time.Second)
		if err == nil {
			err = f.Close()
		}
		got <- err
	}()
	require.NoError(t, first.Close())
	require.NoError(t, <-got)
}
