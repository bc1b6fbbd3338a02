package e2e

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// bin is where "make build" puts the binaries, or where TENON_BIN says.
func bin(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("TENON_BIN")
	if dir == "" {
		dir = filepath.Join("..", "..", "bin")
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	require.NoError(t, err)
	_, err = os.Stat(path)
	require.NoError(t, err, "the binaries are not built: run `make test`, or `make build` first")
	return path
}

// platform is a running "tenon up" with everything it started.
type platform struct {
	data, api, ui, engine string
	env                   []string
	// bin is where its programs are, when not where [bin] finds them; user is who
	// runs it, when not who runs the tests.
	bin   string
	user  *syscall.Credential
	cmd   *exec.Cmd
	ended chan struct{}
	took  time.Duration

	mu  sync.Mutex
	log strings.Builder
}

// given are the ports that a test has: another one must not find them free while
// what listens there is being started again.
var given sync.Map

// freePort finds a port that nobody listens on, below those that engines choose
// for their services, which are all low enough for PostgreSQL's smallint column in
// the engine's membership table.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(10000+rand.IntN(10000)))
		if _, taken := given.LoadOrStore(address, true); taken {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err == nil {
			require.NoError(t, l.Close())
			return address
		}
	}
	t.Fatal("no free port was found")
	return ""
}

func newPlatform(t *testing.T, env ...string) *platform {
	t.Helper()
	return &platform{
		data: filepath.Join(t.TempDir(), "data"), api: freePort(t), ui: freePort(t), engine: freePort(t), env: env,
	}
}

// refused runs "tenon up", which must end by itself, and returns what it said.
func (p *platform) refused(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin(t, "tenon"), "up", "--data", p.data, "--api-address", p.api, "--ui-address", p.ui, "--engine-address", p.engine)
	out, err := cmd.CombinedOutput()
	require.NoError(t, ctx.Err(), "it did not end: %s", out)
	require.Error(t, err)
	return string(out)
}

// start runs "tenon up" and waits until it says that it is up.
func (p *platform) start(t *testing.T) {
	t.Helper()
	program := filepath.Join(p.bin, "tenon")
	if p.bin == "" {
		program = bin(t, "tenon")
	}
	p.cmd = exec.Command(program, "up", "--data", p.data, "--api-address", p.api, "--ui-address", p.ui, "--engine-address", p.engine)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Dir = "/"
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true, Credential: p.user}
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	logs, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, p.cmd.Start())
	p.ended = make(chan struct{})
	upSaid := make(chan struct{})
	var copying sync.WaitGroup
	copying.Go(func() {
		lines := bufio.NewScanner(logs)
		for lines.Scan() {
			p.mu.Lock()
			p.log.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
		}
	})
	copying.Go(func() {
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			if strings.HasPrefix(line, "Tenon is up") {
				close(upSaid)
			}
			if err != nil {
				return
			}
		}
	})
	go func() {
		copying.Wait()
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the log of the platform:\n%s", p.logs())
		}
	})
	select {
	case <-upSaid:
		p.took = time.Since(began)
	case <-p.ended:
		t.Fatalf("tenon up ended:\n%s", p.logs())
	case <-time.After(60 * time.Second):
		t.Fatalf("tenon up did not come up:\n%s", p.logs())
	}
}

func (p *platform) logs() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// stop drains the platform.
func (p *platform) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		t.Fatal("tenon up did not drain")
	}
}

func (p *platform) kill() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// processes lists the live processes that the platform's parent started, and
// their own, by name.
func (p *platform) processes(t *testing.T) map[int]string {
	t.Helper()
	return p.below(t, p.cmd.Process.Pid)
}

// below lists a process and what it started, directly or not, by name. Those
// that nobody has reaped yet are not among them.
func (p *platform) below(t *testing.T, root int) map[int]string {
	t.Helper()
	parents, names := map[int]int{}, map[int]string{}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		require.NoError(t, err)
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))
		if fields[0] == "Z" {
			continue
		}
		parents[pid], err = strconv.Atoi(fields[1])
		require.NoError(t, err)
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			continue
		}
		args := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
		names[pid] = filepath.Base(args[0])
		if names[pid] == "tenon" && len(args) > 1 {
			names[pid] = args[1]
		}
	}
	out := map[int]string{}
	for pid := range parents {
		for at := pid; at > 1; at = parents[at] {
			if at == root {
				out[pid] = names[pid]
				break
			}
		}
	}
	return out
}

// gone waits until none of the processes is left, not even as a zombie that
// the platform should have reaped.
func (p *platform) gone(t *testing.T, processes map[int]string) {
	t.Helper()
	var left []string
	require.Eventually(t, func() bool {
		left = nil
		for pid, name := range processes {
			if syscall.Kill(pid, 0) == nil && !zombie(pid) {
				left = append(left, name)
			}
		}
		return len(left) == 0
	}, 20*time.Second, 20*time.Millisecond, "processes are left: %v", left)
}

// pid finds the one process of the name; it may be about to start.
func (p *platform) pid(t *testing.T, name string) int {
	t.Helper()
	found := 0
	eventually(t, 20*time.Second, "there is a process "+name, func() bool {
		for pid, n := range p.processes(t) {
			if n == name {
				require.Zero(t, found, "more than one process %s", name)
				found = pid
			}
		}
		return found != 0
	})
	return found
}

// demo runs the demo program against the platform and returns what it printed.
func (p *platform) demo(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin(t, "demo"), "-api", "http://"+p.api, "-data", p.data)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// get asks the API; the status is 0 when it does not answer.
func (p *platform) get(t *testing.T, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.api+path, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// eventually asks again and again, in the goroutine of the test. It spends a fifth of
// its time on that at most: what it waits for needs the processors, too.
func eventually(t *testing.T, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	// A machine that tests much else at the same time may be that much slower.
	patience *= 3
	late := time.After(patience)
	for {
		began := time.Now()
		if ok() {
			return
		}
		select {
		case <-late:
			t.Fatalf("%s: not within %s", what, patience)
		case <-time.After(max(20*time.Millisecond, 4*time.Since(began))):
		}
	}
}
