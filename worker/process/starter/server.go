package starter

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/worker/process"
)

// orders is the descriptor on which the client speaks.
const orders = 3

// list is a flag that may be given several times.
type list []string

// String implements [flag.Value].
func (l *list) String() string { return strings.Join(*l, ", ") }

// Set implements [flag.Value].
func (l *list) Set(text string) error {
	*l = append(*l, text)
	return nil
}

// server is the starter's side.
type server struct {
	directory string
	programs  list

	mu       sync.Mutex
	children map[uint64]*process.Process
	waiting  sync.WaitGroup
}

// Main runs the starter until its client is gone.
func Main(args []string) int {
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, "tenon-starter:", err)
		return 1
	}
	return 0
}

func run(args []string) error {
	if _, err := unix.GetsockoptInt(orders, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		return errors.New("descriptor 3 is not a socket: the starter is started by a host")
	}
	unix.CloseOnExec(orders)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s := &server{directory: filepath.Dir(self), children: make(map[uint64]*process.Process)}
	var fence fence
	flags := flag.NewFlagSet("tenon-starter", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Var(&s.programs, "program", "a program that may be started")
	flags.BoolVar(&fence.enclosed, "enclosed", false, "in a mount namespace of its own")
	flags.Var((*list)(&fence.hidden), "hide", "a file or directory to hide")
	flags.Var((*list)(&fence.shown), "show", "a directory in a hidden one to be seen still")
	if err := flags.Parse(args); err != nil {
		return err
	}
	missing, err := fence.confine(s.directory)
	if err != nil {
		return err
	}
	tell(reply{Missing: missing})
	s.serve()
	s.killAll()
	return nil
}

// serve carries out orders until the client is gone.
func (s *server) serve() {
	packet := make([]byte, maxPacket)
	control := make([]byte, unix.CmsgSpace(4*maxFiles))
	for {
		n, cn, flags, _, err := unix.Recvmsg(orders, packet, control, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		files := received(control[:cn])
		o, err := parse(packet[:n], s.programs, len(files))
		if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
			err = errors.New("the order is too large")
		}
		switch {
		case err != nil:
			tell(reply{ID: o.ID, Error: err.Error()})
		case o.Verb == verbSignal:
			s.signal(o)
		default:
			s.start(o, files)
		}
		for _, f := range files {
			_ = f.Close()
		}
		clear(packet[:n])
	}
}

// received takes the descriptors out of a control message.
func received(control []byte) []*os.File {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	var out []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			out = append(out, os.NewFile(uintptr(fd), "received"))
		}
	}
	return out
}

// start starts a child and watches it.
func (s *server) start(o order, files []*os.File) {
	spec := process.Spec{
		Name: o.Program, Path: filepath.Join(s.directory, o.Program), Args: o.Args, Env: o.Env, Limits: o.Limits,
	}
	if spec.Env == nil {
		spec.Env = []string{} // nil would be the starter's.
	}
	for _, stream := range []struct {
		set bool
		at  **os.File
	}{{o.Stdout, &spec.Stdout}, {o.Stderr, &spec.Stderr}} {
		if stream.set {
			*stream.at, files = files[0], files[1:]
		}
	}
	spec.Files = files
	p, err := process.Start(spec)
	if err != nil {
		tell(reply{ID: o.ID, Error: cause(err)})
		return
	}
	s.mu.Lock()
	s.children[o.ID] = p
	s.mu.Unlock()
	tell(reply{ID: o.ID, PID: p.PID})
	s.waiting.Go(func() {
		<-p.Done()
		s.mu.Lock()
		delete(s.children, o.ID)
		s.mu.Unlock()
		end := reply{ID: o.ID, PID: p.PID, Ended: true}
		if err := p.Err(); err != nil {
			end.Status = err.Error()
		}
		tell(end)
	})
}

// cause is what the client's operator is to read.
func cause(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		return inner.Error()
	}
	return err.Error()
}

func (s *server) signal(o order) {
	s.mu.Lock()
	p := s.children[o.ID]
	s.mu.Unlock()
	if p != nil {
		_ = p.Signal(unix.Signal(o.Signal))
	}
}

// killAll ends what is left when the client is gone.
func (s *server) killAll() {
	s.mu.Lock()
	for _, p := range s.children {
		_ = p.Signal(unix.SIGKILL)
	}
	s.mu.Unlock()
	s.waiting.Wait()
}

// tell sends a packet to the client. When that is gone the next receive says so.
func tell(r reply) {
	packet, err := json.Marshal(r)
	if err != nil || len(packet) > maxPacket {
		return
	}
	for {
		if err := unix.Sendto(orders, packet, unix.MSG_NOSIGNAL, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
