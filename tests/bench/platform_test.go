package bench

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// startPatience bounds the start of the platform.
const startPatience = time.Minute

// platform is a running "tenon up".
type platform struct {
	data, api, engine string
	// up is how long it took to say so.
	up  time.Duration
	pid int

	end func()
}

func freePort(b *testing.B) string {
	b.Helper()
	for range 100 {
		// Low enough for the engine's membership table on PostgreSQL.
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(10000+rand.IntN(10000)))
		if l, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", address); err == nil {
			require.NoError(b, l.Close())
			return address
		}
	}
	b.Fatal("no free port was found")
	return ""
}

func binary(b *testing.B, name string) string {
	b.Helper()
	dir, err := filepath.Abs(*binaries)
	require.NoError(b, err)
	path := filepath.Join(dir, name)
	_, err = os.Stat(path)
	require.NoError(b, err, "the binaries are not built: run `make bench`")
	return path
}

// start starts the platform on an empty directory, with the settings given. With
// a PostgreSQL URL everything is kept there, else in SQLite files.
func start(b *testing.B, postgres string, settings ...string) *platform {
	b.Helper()
	p := &platform{data: filepath.Join(b.TempDir(), "data"), api: freePort(b), engine: freePort(b)}
	cmd := exec.CommandContext(context.WithoutCancel(b.Context()), binary(b, "tenon"), "up", "--data", p.data, "--log-level", "warn",
		"--api-address", p.api, "--ui-address", freePort(b), "--engine-address", p.engine)
	cmd.Env = append(os.Environ(), settings...)
	if postgres != "" {
		cmd.Env = append(cmd.Env, "TENON_POSTGRES_URL="+postgres)
	}
	log, err := os.Create(filepath.Join(b.TempDir(), "log"))
	require.NoError(b, err)
	cmd.Stderr = log
	began := time.Now()
	out := spawn(b, cmd)
	p.pid = cmd.Process.Pid
	p.end = sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // The kernel ends its children with it.
		_ = cmd.Wait()
		_ = log.Close()
	})
	b.Cleanup(func() {
		p.end()
		if b.Failed() {
			text, _ := os.ReadFile(log.Name())
			b.Logf("the end of the platform's log:\n%s", text[max(0, len(text)-4000):])
		}
	})
	late := time.AfterFunc(startPatience, func() { _ = cmd.Process.Kill() })
	require.True(b, saw(out, "Tenon is up"), "the platform did not come up")
	late.Stop()
	p.up = time.Since(began)
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return p
}

// spawn starts a process that the kernel ends with this one, and returns its
// output. Such a signal is tied to the thread that forks, which is kept for it.
func spawn(b *testing.B, cmd *exec.Cmd) *bufio.Reader {
	b.Helper()
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		select {}
	}()
	require.NoError(b, <-started)
	return bufio.NewReader(out)
}

func saw(out *bufio.Reader, text string) bool {
	for {
		line, err := out.ReadString('\n')
		if strings.HasPrefix(line, text) {
			return true
		}
		if err != nil {
			return false
		}
	}
}

// cell finds the worker process of an organization.
func (p *platform) cell(b *testing.B, organization string) int {
	b.Helper()
	for pid, f := range family(p.pid) {
		if f.name == "tenon-cell" && len(f.args) > 1 && f.args[1] == organization {
			return pid
		}
	}
	b.Fatalf("no worker process of %s", organization)
	return 0
}

// until polls until done tells yes; it fails the benchmark when that does not
// happen in time.
func until(b *testing.B, patience time.Duration, what string, done func() bool) {
	b.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-deadline.C:
			b.Fatalf("%s: not within %s", what, patience)
		case <-again.C:
		}
	}
}

// pause lets what is under way settle.
func pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	<-t.C
}
