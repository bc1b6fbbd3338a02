package launcher

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/plugins/host/enclosure"
	"github.com/tenonhq/tenon/plugins/host/internal/order"
)

const (
	namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
		unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
	// A launcher that runs as root gives each child a user id of its own. Its
	// process id tells it apart from other launchers.
	usersEach   = 100
	maxLauncher = enclosure.Users / usersEach
	// patience is how long a child may take to build its sandbox.
	patience = 10 * time.Second
)

// mode is how children are confined here, found out by probe.
type mode struct {
	Namespaces bool `json:"namespaces"`
	// User: children run as a user id that nobody else has.
	User bool `json:"user"`
}

// plan is what a child is told before it confines itself.
type plan struct {
	Spec order.Spec `json:"spec"`
	Mode mode       `json:"mode"`
	UID  int        `json:"uid"` // with Mode.User and without namespaces
	// Probe: build the sandbox, say what is missing, and end.
	Probe bool `json:"probe,omitempty"`
}

// report is a child's word when it does not become the program.
type report struct {
	Error   string   `json:"error,omitempty"`
	Missing []string `json:"missing,omitempty"`
}

// modes are tried in order.
func modes(withoutNamespaces bool) []mode {
	var out []mode
	root := os.Geteuid() == 0
	if !withoutNamespaces {
		if root {
			out = append(out, mode{Namespaces: true, User: true})
		}
		out = append(out, mode{Namespaces: true})
	}
	if root {
		out = append(out, mode{User: true})
	}
	return append(out, mode{})
}

// probe finds the strongest mode that works here and says what it lacks.
func (l *launcher) probe(withoutNamespaces bool) ([]string, error) {
	var failure error
	for _, m := range modes(withoutNamespaces) {
		l.mode = m
		missing, err := l.try()
		if err != nil {
			failure = err
			continue
		}
		if !m.Namespaces {
			missing = append(missing, "user-namespace", "mount-namespace", "pid-namespace", "network-namespace",
				"ipc-namespace", "uts-namespace")
		}
		if !m.User && os.Geteuid() == 0 {
			missing = append(missing, "user-id")
		}
		return missing, nil
	}
	return nil, fmt.Errorf("no sandbox can be built here: %w", failure)
}

func (l *launcher) try() ([]string, error) {
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer func() { _ = exe.Close() }()
	pid, answer, err := l.fork(plan{Probe: true, Spec: order.Spec{Args: []string{"probe"}}}, []int{int(exe.Fd())})
	if err != nil {
		return nil, err
	}
	wait(pid)
	if answer.Error != "" {
		return nil, errors.New(answer.Error)
	}
	return answer.Missing, nil
}

// start starts a child and returns when it has become the program.
func (l *launcher) start(spec order.Spec, files []int) (int, error) {
	pid, answer, err := l.fork(plan{Spec: spec}, files)
	if err != nil {
		return 0, err
	}
	if answer.Error != "" {
		_ = unix.Kill(pid, unix.SIGKILL)
		wait(pid)
		return 0, errors.New(answer.Error)
	}
	return pid, nil
}

// fork starts the launcher again in its namespaces, hands it the plan and waits
// until it has become the program (an empty report) or says what went wrong.
func (l *launcher) fork(p plan, files []int) (int, report, error) {
	p.Mode = l.mode
	if p.Mode.User {
		p.UID = enclosure.FirstUser + os.Getpid()%maxLauncher*usersEach + int(l.next%usersEach)
		l.next++
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, report{}, err
	}
	defer func() { _ = unix.Close(pair[0]) }()
	limit := unix.NsecToTimeval(int64(patience))
	if err := unix.SetsockoptTimeval(pair[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		_ = unix.Close(pair[1])
		return 0, report{}, err
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"tenon-launcher", confineArgument}, &syscall.ProcAttr{
		Dir: "/", Files: l.streams(p.Spec, files, pair[1]), Sys: attributes(p),
	})
	_ = unix.Close(pair[1])
	if err != nil {
		return 0, report{}, fmt.Errorf("start in namespaces: %w", err)
	}
	answer, err := converse(pair[0], p)
	if err != nil {
		_ = unix.Kill(pid, unix.SIGKILL)
		wait(pid)
		return 0, report{}, err
	}
	return pid, answer, nil
}

// streams lays the child's descriptors out: standard streams, socket, program.
func (l *launcher) streams(s order.Spec, files []int, socket int) []uintptr {
	null := l.null.Fd()
	out := []uintptr{null, null, null, uintptr(socket), uintptr(files[0])}
	rest := files[1:]
	for i, set := range []bool{s.Stdin, s.Stdout, s.Stderr} {
		if set {
			out[i], rest = uintptr(rest[0]), rest[1:]
		}
	}
	return out
}

// attributes asks for the namespaces, with the ids the child needs in them: 0 to
// build the sandbox and, where the launcher is root, 1 to run as.
func attributes(p plan) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if !p.Mode.Namespaces {
		return attr
	}
	attr.Cloneflags = namespaces
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	attr.Credential = &syscall.Credential{NoSetGroups: true}
	if p.Mode.User {
		attr.UidMappings = append(attr.UidMappings, syscall.SysProcIDMap{ContainerID: 1, HostID: p.UID, Size: 1})
		attr.GidMappings = append(attr.GidMappings, syscall.SysProcIDMap{ContainerID: 1, HostID: p.UID, Size: 1})
		attr.GidMappingsEnableSetgroups = true
		attr.Credential.NoSetGroups = false
	}
	return attr
}

// converse sends the plan and takes the report. The end of the conversation
// without a report is the good end: the socket closed with the execution.
func converse(socket int, p plan) (report, error) {
	packet, err := json.Marshal(p)
	if err != nil {
		return report{}, err
	}
	if err := unix.Sendto(socket, packet, unix.MSG_NOSIGNAL, nil); err != nil {
		return report{}, fmt.Errorf("hand over the plan: %w", err)
	}
	buf := make([]byte, 4096)
	for {
		n, _, err := unix.Recvfrom(socket, buf, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return report{}, fmt.Errorf("the sandbox was not ready in time: %w", err)
		case n == 0 && p.Probe:
			return report{}, errors.New("the sandbox could not be built: its process died")
		case n == 0:
			return report{}, nil
		}
		var r report
		if err := json.Unmarshal(buf[:n], &r); err != nil {
			return report{}, fmt.Errorf("malformed report: %w", err)
		}
		return r, nil
	}
}
