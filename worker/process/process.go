package process

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/tenonhq/tenon/plugins/host/enclosure"
	"github.com/tenonhq/tenon/schema"
)

const (
	firstBackoff = 200 * time.Millisecond
	maxBackoff   = 10 * time.Second
	// steady is how long a child must live for its back-off to start anew.
	steady = 30 * time.Second
)

// Spec describes a child process.
type Spec struct {
	// Name is what the log calls the child.
	Name string
	Path string
	Args []string
	// Env is the child's whole environment.
	Env []string
	// Files are inherited as descriptors 3 and up.
	Files []*os.File
	// Stdout and Stderr default to the parent's.
	Stdout, Stderr *os.File
	// Enclosed gives the child a user and mount namespace of its own; where that
	// is forbidden it is not started.
	Enclosed bool
	// Limits are set on the child before Start returns.
	Limits Limits
}

// Starter starts children: this process ([Local]), or another one for it.
type Starter interface {
	// Start starts a child that ends with the starter, whatever ends that. The
	// error is CodeUnavailable.
	Start(s Spec) (*Process, error)
}

// Local starts children from this process.
type Local struct{}

// Start implements [Starter].
func (Local) Start(s Spec) (*Process, error) { return Start(s) }

// Process is a started child.
type Process struct {
	PID    int
	done   chan struct{}
	mu     sync.Mutex
	err    error
	signal func(os.Signal) error
}

// New is a child that another process has started: signal passes a signal on,
// and the function that is returned tells once how it ended.
func New(pid int, signal func(os.Signal) error) (p *Process, ended func(error)) {
	p = &Process{PID: pid, done: make(chan struct{}), signal: signal}
	return p, func(err error) {
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(p.done)
	}
}

// Start starts a child that the kernel kills when this process dies, whatever
// kills it. Such a death signal is tied to the thread that forks: each child
// has a thread of its own, which lives as long as the child does.
func Start(s Spec) (*Process, error) {
	p, ended := New(0, nil)
	started := make(chan error, 1)
	go func() {
		// Never unlocked: the thread, which has the child's priority, ends with it.
		runtime.LockOSThread()
		cmd := exec.Command(s.Path, s.Args...) //nolint:noctx // Our own binaries; ended by Stop, not by a context.
		cmd.Env, cmd.ExtraFiles = s.Env, s.Files
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if s.Stdout != nil {
			cmd.Stdout = s.Stdout
		}
		if s.Stderr != nil {
			cmd.Stderr = s.Stderr
		}
		// A group of its own: a Ctrl-C at the terminal reaches the parent
		// only, which then drains its children in order.
		cmd.SysProcAttr = &syscall.SysProcAttr{}
		if s.Enclosed {
			cmd.SysProcAttr = enclosure.Attributes()
		}
		cmd.SysProcAttr.Pdeathsig, cmd.SysProcAttr.Setpgid = syscall.SIGKILL, true
		if err := s.Limits.begin(cmd); err != nil {
			started <- schema.Errorf(schema.CodeUnavailable, "%s could not be started: %w", s.Name, err)
			return
		}
		signals := make(chan passing)
		p.PID, p.signal = cmd.Process.Pid, p.through(signals)
		started <- nil
		waited := make(chan error, 1)
		go func() { waited <- cmd.Wait() }()
		for {
			select {
			case s := <-signals:
				s.sent <- cmd.Process.Signal(s.signal)
			case err := <-waited:
				ended(err)
				s.Limits.end()
				return
			}
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// passing is a signal on its way to a child.
type passing struct {
	signal os.Signal
	sent   chan error
}

// through has signals sent by the thread that forked the child. Landlock gives
// each thread of a confined process a domain of its own, and the child is in that
// thread's: no other may signal it.
func (p *Process) through(signals chan<- passing) func(os.Signal) error {
	return func(signal os.Signal) error {
		s := passing{signal: signal, sent: make(chan error, 1)}
		select {
		case signals <- s:
			return <-s.sent
		case <-p.done:
			return os.ErrProcessDone
		}
	}
}

// Done is closed when the child has been reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err tells how the child ended; nil while it lives and after a clean exit.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Signal sends a signal; a child that has ended is no error.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return schema.Errorf(schema.CodeInternal, "a child could not be signalled: %w", err)
	}
	return nil
}

// Stop asks the child to end with SIGTERM and kills it after the patience.
func (p *Process) Stop(patience time.Duration) {
	_ = p.Signal(syscall.SIGTERM)
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		_ = p.Signal(syscall.SIGKILL)
		<-p.done
	}
}

// Keep runs a child until the context ends, restarting it with back-off. begin
// starts the child and returns when it serves; drain ends it in order.
func Keep(ctx context.Context, name string, logger *slog.Logger, begin func(context.Context) (*Process, error), drain func(*Process)) {
	KeepUntil(ctx, name, logger, begin, drain, func() bool { return false })
}

// KeepUntil is [Keep] for a child that may end in order by itself: done is asked
// each time that it ended, and nothing is started again after a yes.
func KeepUntil(
	ctx context.Context, name string, logger *slog.Logger, begin func(context.Context) (*Process, error), drain func(*Process), done func() bool,
) {
	backoff := firstBackoff
	for {
		born := time.Now()
		p, err := begin(ctx)
		if err == nil {
			select {
			case <-ctx.Done():
				drain(p)
				return
			case <-p.Done():
			}
			if done() {
				return
			}
			if time.Since(born) > steady {
				backoff = firstBackoff
			}
			logger.WarnContext(ctx, "a process ended and is started again", "child", name, "pid", p.PID, "how", ending(p), "after", backoff)
		} else if ctx.Err() == nil {
			logger.ErrorContext(ctx, "a process could not be started and is tried again", "child", name, "error", err, "after", backoff)
		}
		t := time.NewTimer(backoff)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

func ending(p *Process) string {
	if err := p.Err(); err != nil {
		return err.Error()
	}
	return "exit status 0"
}
