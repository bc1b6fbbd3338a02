package launcher

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/plugins/host/internal/order"
)

const (
	confineArgument = "confine"
	// The child's descriptors beside the standard streams.
	planFD    = 3
	programFD = 4
)

// confine builds the sandbox around this process and becomes the program. It
// returns only when that failed; then the launcher has been told why.
func confine() {
	// Nothing but the standard streams outlives the execution (no inherited
	// descriptors), and nothing beyond the two is known here.
	if err := unix.CloseRange(planFD, ^uint(0)>>1&0x7fffffff, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		say(report{Error: fmt.Sprintf("close descriptors: %v", err)})
		return
	}
	p, err := receivePlan()
	if err != nil {
		say(report{Error: err.Error()})
		return
	}
	missing, err := build(p)
	switch {
	case err != nil:
		say(report{Error: err.Error()})
	case p.Probe:
		say(report{Missing: missing})
	default:
		say(report{Error: fmt.Sprintf("execute: %v", execute(p.Spec))})
	}
}

func receivePlan() (plan, error) {
	buf := make([]byte, order.MaxPacket+4096)
	n, _, err := unix.Recvfrom(planFD, buf, 0)
	if err != nil {
		return plan{}, fmt.Errorf("receive the plan: %w", err)
	}
	var p plan
	if err := json.Unmarshal(buf[:n], &p); err != nil {
		return plan{}, fmt.Errorf("malformed plan: %w", err)
	}
	return p, nil
}

func say(r report) {
	if packet, err := json.Marshal(r); err == nil {
		_ = unix.Sendto(planFD, packet, unix.MSG_NOSIGNAL, nil)
	}
}

// build puts the sandbox up, in the order of the package comment; each step
// needs what the later ones take away.
func build(p plan) ([]string, error) {
	steps := []struct {
		name string
		do   func(plan) error
	}{
		{"see an empty root", enterRoot},
		{"become a user of its own", becomeUser},
		{"drop capabilities", dropCapabilities},
		{"die with the launcher", bindLife},
	}
	for _, s := range steps {
		if err := s.do(p); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	missing, err := landlock(p)
	if err != nil {
		return nil, fmt.Errorf("landlock: %w", err)
	}
	if err := limit(p.Spec.Limits); err != nil {
		return nil, fmt.Errorf("limit resources: %w", err)
	}
	if err := filter(); err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	return missing, nil
}

// becomeUser gives up the launcher's ids where it may use others. Inside the
// user namespace 1 stands for the id that is the child's own.
func becomeUser(p plan) error {
	if !p.Mode.User {
		return nil
	}
	id := p.UID
	if p.Mode.Namespaces {
		id = 1
	}
	if p.Spec.Directory != "" {
		// The cell reaches the socket as the directory's group: it has no right
		// over what others own.
		if err := os.Chmod(".", 0o770); err != nil { //nolint:gosec // G302: For the group, as said.
			return err
		}
		if err := os.Chown(".", id, -1); err != nil {
			return err
		}
		unix.Umask(0)
	}
	// Capabilities go in the next step, when they are no longer needed.
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); e != 0 {
		return e
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(id), uintptr(id), uintptr(id)); e != 0 {
		return e
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(id), uintptr(id), uintptr(id)); e != 0 {
		return e
	}
	return nil
}

// secureBits lock in that no user id brings capabilities: NOROOT,
// NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE, each with its lock, and KEEP_CAPS_LOCKED.
const secureBits = 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<5 | 1<<6 | 1<<7

func dropCapabilities(p plan) error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&head, &caps[0]); err != nil {
		return err
	}
	if p.Mode.User { // setresuid took the effective set; the permitted one was kept.
		caps[0].Effective, caps[1].Effective = caps[0].Permitted, caps[1].Permitted
		if err := unix.Capset(&head, &caps[0]); err != nil {
			return err
		}
	}
	if caps[0].Permitted&(1<<unix.CAP_SETPCAP) != 0 {
		for c := uintptr(0); c <= 63; c++ {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); errors.Is(err, unix.EINVAL) {
				break // Beyond the kernel's last capability.
			} else if err != nil {
				return err
			}
		}
		if err := unix.Prctl(unix.PR_SET_SECUREBITS, secureBits, 0, 0, 0); err != nil {
			return err
		}
	}
	if err := unix.Capset(&head, &(&[2]unix.CapUserData{})[0]); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// bindLife has the kernel kill the child with the launcher. The change of user
// cleared that; a launcher that died meanwhile has closed its end.
func bindLife(plan) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	n, _, err := unix.Recvfrom(planFD, make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if errors.Is(err, unix.EAGAIN) {
		return nil
	}
	if err == nil && n == 0 {
		return errors.New("the launcher is gone")
	}
	return err
}

// execute becomes the program, by descriptor: what was hashed is what runs.
func execute(s order.Spec) error {
	argv, err := syscall.SlicePtrFromStrings(s.Args)
	if err != nil {
		return err
	}
	env, err := syscall.SlicePtrFromStrings(s.Env)
	if err != nil {
		return err
	}
	empty := [1]byte{}
	_, _, e := unix.RawSyscall6(unix.SYS_EXECVEAT, programFD, uintptr(unsafe.Pointer(&empty[0])),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&env[0])), unix.AT_EMPTY_PATH, 0)
	return e
}
