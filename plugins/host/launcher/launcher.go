package launcher

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/plugins/host/internal/order"
)

const (
	// orders is the descriptor on which the cell speaks.
	orders = 3
	// maxFiles is an executable and three standard streams.
	maxFiles = 4
)

// launcher starts and kills; it is driven by one goroutine on one thread, since
// children die with the thread that started them.
type launcher struct {
	null *os.File
	mode mode
	next uint32

	mu       sync.Mutex
	children map[uint64]int // order id -> pid of a process not yet reaped
	waiting  sync.WaitGroup
}

// Main runs the launcher until the cell closes its end of the socket. It is to
// be called by main, first thing.
func Main(args []string) int {
	runtime.LockOSThread()
	debug.SetGCPercent(25) // It allocates little and lives long: small beats fast.
	if len(args) > 1 && args[1] == confineArgument {
		confine()
		return 1 // confine returns only when it failed, and has said why.
	}
	if len(args) != 3 || args[1] != order.Enclosed && args[1] != order.WithoutNamespaces {
		fmt.Fprintln(os.Stderr, "tenon-launcher: it is started by a cell")
		return 1
	}
	if err := run(args[1] == order.WithoutNamespaces, args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "tenon-launcher:", err)
		return 1
	}
	return 0
}

func run(withoutNamespaces bool, directory string) error {
	if _, err := unix.GetsockoptInt(orders, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		return errors.New("descriptor 3 is not a socket: the launcher is started by a cell")
	}
	unix.CloseOnExec(orders)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	lacks, err := confineSelf(withoutNamespaces, directory)
	if err != nil {
		return err
	}
	l := &launcher{null: null, children: make(map[uint64]int)}
	missing, err := l.probe(withoutNamespaces)
	if err != nil {
		return err
	}
	debug.FreeOSMemory()
	tell(order.Reply{Missing: append(missing, lacks...)})
	l.serve()
	l.killAll()
	return nil
}

// serve carries out orders until the cell is gone.
func (l *launcher) serve() {
	packet := make([]byte, order.MaxPacket)
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
		o, err := order.Parse(packet[:n], len(files))
		if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
			err = errors.New("the order is too large")
		}
		switch {
		case err != nil:
			tell(order.Reply{ID: o.ID, Error: err.Error()})
		case o.Verb == order.VerbKill:
			l.kill(o.ID)
		default:
			l.launch(o, files)
		}
		for _, fd := range files {
			_ = unix.Close(fd)
		}
	}
}

// received takes the descriptors out of a control message.
func received(control []byte) []int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	var out []int
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
			out = append(out, fds...)
		}
	}
	return out
}

// launch starts a child and watches it.
func (l *launcher) launch(o order.Order, files []int) {
	pid, err := l.start(o.Spec, files)
	if err != nil {
		tell(order.Reply{ID: o.ID, Error: err.Error()})
		return
	}
	l.mu.Lock()
	l.children[o.ID] = pid
	l.mu.Unlock()
	tell(order.Reply{ID: o.ID, PID: pid})
	l.waiting.Go(func() {
		status := l.reap(o.ID, pid)
		tell(order.Reply{ID: o.ID, PID: pid, Exited: true, Status: status})
	})
}

// reap waits for a child. It forgets the pid under the lock before the kernel
// may give it to another process, so that kill never meets a stranger.
func (l *launcher) reap(id uint64, pid int) string {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.children, id)
	return wait(pid)
}

// wait reaps a child that has ended or is about to.
func wait(pid int) string {
	var ws unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &ws, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return "unknown"
		}
		break
	}
	if ws.Signaled() {
		return "signal " + ws.Signal().String()
	}
	return fmt.Sprintf("exit %d", ws.ExitStatus())
}

// kill ends a child with its group; without namespaces the group is all it has,
// with them it takes its PID namespace along.
func (l *launcher) kill(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if pid, ok := l.children[id]; ok {
		_ = unix.Kill(-pid, unix.SIGKILL)
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

func (l *launcher) killAll() {
	l.mu.Lock()
	ids := make([]uint64, 0, len(l.children))
	for id := range l.children {
		ids = append(ids, id)
	}
	l.mu.Unlock()
	slices.Sort(ids)
	for _, id := range ids {
		l.kill(id)
	}
	l.waiting.Wait()
}

// tell sends a packet to the cell. When the cell is gone the next receive says
// so: nothing is to be done here.
func tell(r order.Reply) {
	packet, err := json.Marshal(r)
	if err != nil || len(packet) > order.MaxPacket {
		return
	}
	for {
		if err := unix.Sendto(orders, packet, unix.MSG_NOSIGNAL, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
