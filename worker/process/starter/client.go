package starter

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/worker/process"
)

// readyPatience is how long a starter may take to confine itself.
const readyPatience = 10 * time.Second

// Config is what a starter is started with.
type Config struct {
	// Binaries is the directory of tenon-starter and of the Programs.
	Binaries string
	Programs []string
	// Hidden are files and directories that neither the starter nor its children
	// see, but for those Shown in them. Those Shown exist.
	Hidden, Shown []string
	Logger        *slog.Logger
}

// Client is a running starter. It implements [process.Starter].
type Client struct {
	conn *net.UnixConn
	self *process.Process
	gone chan struct{}

	mu    sync.Mutex
	last  uint64
	calls map[uint64]*call
}

// call is a start, and the child that came of it.
type call struct {
	answer chan reply // buffered
}

// New starts a starter. It must be called before the process makes itself
// undumpable or restricts itself.
func New(cfg Config) (*Client, error) {
	c, missing, err := open(cfg, true)
	if err != nil {
		cfg.Logger.Warn("this machine does not let processes have namespaces of their own", "error", err)
		if c, missing, err = open(cfg, false); err != nil {
			return nil, err
		}
	}
	if len(missing) > 0 {
		cfg.Logger.Warn("this machine does not confine the starter in full", "missing", strings.Join(missing, ", "))
	}
	go c.listen()
	return c, nil
}

func open(cfg Config, enclosed bool) (*Client, []string, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, schema.Errorf(schema.CodeUnavailable, "the starter's socket could not be made: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "starter"), os.NewFile(uintptr(pair[1]), "client")
	defer func() { _ = ours.Close(); _ = theirs.Close() }()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, nil, schema.Errorf(schema.CodeUnavailable, "the starter's socket could not be made: %w", err)
	}
	var args []string
	for name, values := range map[string][]string{"program": cfg.Programs, "hide": cfg.Hidden, "show": cfg.Shown} {
		for _, v := range values {
			args = append(args, "-"+name+"="+v)
		}
	}
	if enclosed {
		args = append(args, "-enclosed")
	}
	self, err := process.Start(process.Spec{
		Name: "starter", Path: filepath.Join(cfg.Binaries, "tenon-starter"), Args: args, Env: []string{},
		Files: []*os.File{theirs}, Enclosed: enclosed,
	})
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	_ = theirs.Close()
	c := &Client{conn: conn.(*net.UnixConn), self: self, gone: make(chan struct{}), calls: make(map[uint64]*call)} //nolint:forcetypeassert // A socket pair of the Unix family.
	var first reply
	err = conn.SetReadDeadline(time.Now().Add(readyPatience))
	if err == nil {
		first, err = c.receive(make([]byte, maxPacket))
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		_ = conn.Close()
		self.Stop(0)
		return nil, nil, schema.Errorf(schema.CodeUnavailable, "the starter did not get ready: %w", err)
	}
	return c, first.Missing, nil
}

// Gone is closed when the starter has ended: nothing can be started any more,
// and what it started has ended with it.
func (c *Client) Gone() <-chan struct{} { return c.gone }

// Close ends the starter with all that it started, and waits for that.
func (c *Client) Close() {
	_ = c.conn.Close()
	<-c.gone
}

// Start implements [process.Starter]. The path's last element names one of the
// starter's programs, and nothing but the files given is inherited.
func (c *Client) Start(s process.Spec) (*process.Process, error) {
	o := order{
		Verb: verbStart, Program: filepath.Base(s.Path), Args: s.Args, Env: s.Env,
		Stdout: s.Stdout != nil, Stderr: s.Stderr != nil, Files: len(s.Files), Limits: s.Limits,
	}
	var fds []int
	for _, f := range append([]*os.File{s.Stdout, s.Stderr}, s.Files...) {
		if f != nil {
			fds = append(fds, int(f.Fd()))
		}
	}
	x := &call{answer: make(chan reply, 1)}
	c.mu.Lock()
	c.last++
	o.ID = c.last
	c.calls[o.ID] = x
	c.mu.Unlock()
	if err := c.ask(o, fds); err != nil {
		c.forget(o.ID)
		return nil, schema.Errorf(schema.CodeUnavailable, "%s could not be started: %w", s.Name, err)
	}
	select {
	case r := <-x.answer:
		if r.Error != "" {
			return nil, schema.Errorf(schema.CodeUnavailable, "%s could not be started: %w", s.Name, errors.New(r.Error))
		}
		return c.child(o.ID, r.PID, x), nil
	case <-c.gone:
		return nil, schema.Errorf(schema.CodeUnavailable, "%s could not be started: the starter is gone", s.Name)
	}
}

// child is the process that came of a start. Its end may have been told already.
func (c *Client) child(id uint64, pid int, x *call) *process.Process {
	p, ended := process.New(pid, func(sig os.Signal) error {
		number, ok := sig.(unix.Signal)
		if !ok {
			return os.ErrInvalid
		}
		return c.ask(order{ID: id, Verb: verbSignal, Signal: int(number)}, nil)
	})
	go func() {
		select {
		case r := <-x.answer:
			if r.Status != "" {
				ended(errors.New(r.Status))
				return
			}
			ended(nil)
		case <-c.gone:
			ended(errors.New("its starter ended"))
		}
	}()
	return p
}

func (c *Client) ask(o order, fds []int) error {
	packet, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if len(packet) > maxPacket || len(fds) > maxFiles {
		return errors.New("the order is too large")
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	_, _, err = c.conn.WriteMsgUnix(packet, rights, nil)
	return err
}

func (c *Client) receive(buf []byte) (reply, error) {
	n, err := c.conn.Read(buf)
	if err != nil {
		return reply{}, err
	}
	if n == 0 {
		return reply{}, errors.New("the starter closed its socket")
	}
	var r reply
	return r, json.Unmarshal(buf[:n], &r)
}

// listen hands out what the starter tells, until it is gone.
func (c *Client) listen() {
	buf := make([]byte, maxPacket)
	for {
		r, err := c.receive(buf)
		if err != nil {
			break
		}
		c.mu.Lock()
		x := c.calls[r.ID]
		if r.Ended || r.Error != "" {
			delete(c.calls, r.ID)
		}
		c.mu.Unlock()
		if x != nil {
			x.answer <- r
		}
	}
	_ = c.conn.Close()
	c.self.Stop(0)
	close(c.gone)
}

func (c *Client) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, id)
}

var _ process.Starter = (*Client)(nil)
