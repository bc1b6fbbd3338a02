package host

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/plugins/host/enclosure"
	"github.com/tenonhq/tenon/plugins/host/internal/order"
	"github.com/tenonhq/tenon/schema"
)

// Limits of a sandboxed process; 0 leaves a default.
type Limits = order.Limits

// Spec describes a sandboxed process to start.
type Spec struct {
	// Executable is the program, by descriptor: what was hashed is what runs. It
	// must be a static program. It stays the caller's.
	Executable *os.File
	// Args begin with the program's name.
	Args []string
	// Env is the whole environment.
	Env []string
	// Stdin, Stdout and Stderr are the null device when nil. They stay the
	// caller's: close them after Start, so that the other end sees the child's.
	Stdin, Stdout, Stderr *os.File
	// SocketDir, when set, is the working directory of the process and all that
	// it sees of the file system; it may bind sockets there.
	SocketDir string
	Limits    Limits
}

// Launcher starts sandboxed processes for a cell. It is a process of its own,
// started before the cell restricts itself; when it ends, by Close or by the
// death of the cell, so do all that it started.
type Launcher struct {
	conn    *net.UnixConn
	cmd     *exec.Cmd
	missing []string
	gone    chan struct{} // closed when the launcher is gone

	mu    sync.Mutex
	last  uint64
	calls map[uint64]*Process
}

// Process is a sandboxed process.
type Process struct {
	// PID is its id, as the host sees it.
	PID int

	id       uint64
	launcher *Launcher
	started  chan order.Reply // buffered
	done     chan struct{}
	status   string // set before done closes
}

// StartLauncher starts the launcher at path. All socket directories that it is
// given later must lie in the directory, which exists: the launcher sees no
// other. ctx bounds the start, not the life.
//
// Where the process has been made undumpable, or has restricted itself, no
// namespaces can be made any more: start it first.
func StartLauncher(ctx context.Context, path, directory string) (*Launcher, error) {
	enclosed := exec.Command(path, order.Enclosed, directory) //nolint:noctx // The launcher outlives ctx.
	enclosed.SysProcAttr = enclosure.Attributes()
	l, err := startLauncher(ctx, enclosed)
	if err == nil || ctx.Err() != nil {
		return l, err
	}
	// Where namespaces are forbidden the rest stands alone; [Launcher.Missing] says so.
	open, second := startLauncher(ctx, exec.Command(path, order.WithoutNamespaces, directory)) //nolint:noctx // The launcher outlives ctx.
	if second != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the launcher did not get ready: %w", errors.Join(err, second))
	}
	return open, nil
}

func startLauncher(ctx context.Context, cmd *exec.Cmd) (*Launcher, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the launcher's socket could not be made: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "launcher"), os.NewFile(uintptr(pair[1]), "cell")
	defer func() { _ = ours.Close(); _ = theirs.Close() }()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the launcher's socket could not be made: %w", err)
	}
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Env = []string{} // nil would be the cell's.
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		_ = conn.Close()
		return nil, schema.Errorf(schema.CodeUnavailable, "the launcher could not be started: %w", err)
	}
	_ = theirs.Close()
	l := &Launcher{conn: conn.(*net.UnixConn), cmd: cmd, gone: make(chan struct{}), calls: make(map[uint64]*Process)} //nolint:forcetypeassert // a socket pair of the Unix family
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	first, err := l.receive(make([]byte, order.MaxPacket))
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, schema.Errorf(schema.CodeUnavailable, "the launcher did not get ready: %w", err)
	}
	l.missing = first.Missing
	go l.listen()
	return l, nil
}

// Missing names what this machine cannot give to the sandbox; empty is the full
// sandbox. The doc of the package says what each leaves open.
func (l *Launcher) Missing() []string { return slices.Clone(l.missing) }

// Gone is closed when the launcher is gone; nothing can be started any more and
// the cell should end.
func (l *Launcher) Gone() <-chan struct{} { return l.gone }

// Close ends the launcher and all that it started, and waits for that.
func (l *Launcher) Close() {
	_ = l.conn.Close() // The launcher ends by that; it may have closed its end first.
	<-l.gone
}

// Start starts a process; it runs the program when Start returns.
func (l *Launcher) Start(ctx context.Context, s Spec) (*Process, error) {
	p := &Process{launcher: l, started: make(chan order.Reply, 1), done: make(chan struct{})}
	files := []int{int(s.Executable.Fd())}
	for _, f := range []*os.File{s.Stdin, s.Stdout, s.Stderr} {
		if f != nil {
			files = append(files, int(f.Fd()))
		}
	}
	l.mu.Lock()
	l.last++
	p.id = l.last
	l.calls[p.id] = p
	l.mu.Unlock()
	packet, err := json.Marshal(order.Order{ID: p.id, Verb: order.VerbStart, Spec: order.Spec{
		Args: s.Args, Env: s.Env, Stdin: s.Stdin != nil, Stdout: s.Stdout != nil, Stderr: s.Stderr != nil,
		Directory: s.SocketDir, Limits: s.Limits,
	}})
	if err == nil && len(packet) > order.MaxPacket {
		err = errors.New("the arguments and environment are too large")
	}
	if err == nil {
		_, _, err = l.conn.WriteMsgUnix(packet, unix.UnixRights(files...), nil)
	}
	if err != nil {
		l.forget(p.id)
		return nil, schema.Errorf(schema.CodeUnavailable, "the launcher could not be asked: %w", err)
	}
	select {
	case r := <-p.started:
		if r.Error != "" {
			return nil, schema.Errorf(schema.CodeUnavailable, "the process could not be started: %s", r.Error)
		}
		p.PID = r.PID
		return p, nil
	case <-l.gone:
		return nil, schema.Errorf(schema.CodeUnavailable, "the launcher is gone")
	case <-ctx.Done():
		// Orders are carried out in turn: this kill finds the process started.
		_ = p.Kill()
		return nil, schema.Errorf(schema.CodeTimeout, "the process did not start in time: %w", ctx.Err())
	}
}

// Kill ends the process with its whole group; it is gone when Wait returns.
func (p *Process) Kill() error {
	packet, err := json.Marshal(order.Order{ID: p.id, Verb: order.VerbKill})
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "kill: %w", err)
	}
	select {
	case <-p.done:
		return nil
	default:
	}
	if _, err := p.launcher.conn.Write(packet); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the launcher could not be asked: %w", err)
	}
	return nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end of the process and tells how it ended: "exit 1",
// "signal killed".
func (p *Process) Wait(ctx context.Context) (string, error) {
	select {
	case <-p.done:
		return p.status, nil
	case <-ctx.Done():
		return "", schema.Errorf(schema.CodeTimeout, "the process has not ended: %w", ctx.Err())
	}
}

func (l *Launcher) receive(buf []byte) (order.Reply, error) {
	n, err := l.conn.Read(buf)
	if err != nil {
		return order.Reply{}, err
	}
	if n == 0 {
		return order.Reply{}, errors.New("the launcher closed its socket")
	}
	var r order.Reply
	return r, json.Unmarshal(buf[:n], &r)
}

// listen hands out what the launcher tells, until it is gone.
func (l *Launcher) listen() {
	buf := make([]byte, 4096)
	for {
		r, err := l.receive(buf)
		if err != nil {
			break
		}
		l.mu.Lock()
		p := l.calls[r.ID]
		if r.Exited || r.Error != "" {
			delete(l.calls, r.ID)
		}
		l.mu.Unlock()
		switch {
		case p == nil:
		case r.Exited:
			p.status = r.Status
			close(p.done)
		default:
			p.started <- r
		}
	}
	_ = l.conn.Close()
	_ = l.cmd.Wait()
	l.mu.Lock()
	left := l.calls
	l.calls = make(map[uint64]*Process)
	l.mu.Unlock()
	for _, p := range left {
		p.status = "launcher gone"
		close(p.done)
	}
	close(l.gone)
}

func (l *Launcher) forget(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.calls, id)
}
