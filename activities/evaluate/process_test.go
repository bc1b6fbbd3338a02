package evaluate_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/activities/evaluate"
)

// dataLimit is the RLIMIT_DATA under which evaluators are attacked.
const dataLimit = 192 << 20

var binary string

func TestMain(m *testing.M) { os.Exit(build(m)) }

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tenon-eval")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "tenon-eval")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-ldflags=-s -w", "-o", binary, "github.com/tenonhq/tenon/cmd/tenon-eval")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building tenon-eval: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// fleet starts real evaluators and remembers them.
type fleet struct {
	starts atomic.Int64
	mu     sync.Mutex
	live   map[int]*os.Process
}

func (f *fleet) start(ctx context.Context) (io.ReadWriteCloser, func(), error) {
	f.starts.Add(1)
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs := os.NewFile(uintptr(fds[1]), "evaluator")
	ours := os.NewFile(uintptr(fds[0]), "cell")
	defer func() { _ = theirs.Close() }()
	conn, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		return nil, nil, err
	}
	// A batch that is canceled ends its process through kill, so ctx is not the process's.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), binary)
	cmd.Env = []string{}
	cmd.Stdin, cmd.Stdout = theirs, theirs
	if err := cmd.Start(); err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	limit := unix.Rlimit{Cur: dataLimit, Max: dataLimit}
	if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_DATA, &limit, nil); err != nil {
		_ = cmd.Process.Kill()
		return nil, nil, err
	}
	f.mu.Lock()
	if f.live == nil {
		f.live = map[int]*os.Process{}
	}
	f.live[cmd.Process.Pid] = cmd.Process
	f.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		f.mu.Lock()
		delete(f.live, cmd.Process.Pid)
		f.mu.Unlock()
		close(ended)
	}()
	return conn, func() { _ = cmd.Process.Kill(); <-ended }, nil
}

func (f *fleet) processes() []*os.Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*os.Process
	for _, p := range f.live {
		out = append(out, p)
	}
	return out
}

func newPool(tb testing.TB, size int, timeout time.Duration) (*evaluate.Pool, *fleet) {
	tb.Helper()
	f := &fleet{}
	p := evaluate.NewPool(evaluate.Config{Start: f.start, Size: size, BatchTimeout: timeout})
	tb.Cleanup(func() {
		p.Close()
		require.Empty(tb, f.processes(), "evaluators left behind")
	})
	return p, f
}
