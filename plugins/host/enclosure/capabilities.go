package enclosure

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// Forking are the capabilities that a process needs whose descendants become
// strangers with user ids of their own: under root alone, none otherwise.
func Forking() []int {
	if os.Geteuid() != 0 {
		return nil
	}
	return []int{unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_SETFCAP, unix.CAP_SETPCAP, unix.CAP_CHOWN, unix.CAP_KILL}
}

// Drop gives up every capability but those kept, in each set of every thread,
// and new privileges: no program that is executed from here brings one back,
// not even under root.
func Drop(keep ...int) error {
	if err := everywhere(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	var head unix.CapUserHeader
	head.Version = unix.LINUX_CAPABILITY_VERSION_3
	var held [2]unix.CapUserData
	if err := unix.Capget(&head, &held[0]); err != nil {
		return fmt.Errorf("read the capabilities: %w", err)
	}
	if held[0].Effective&(1<<unix.CAP_SETPCAP) != 0 {
		if err := bound(keep); err != nil {
			return fmt.Errorf("the bounding set: %w", err)
		}
	}
	if err := everywhere(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("the ambient set: %w", err)
	}
	// The kernel's structures: header, then effective, permitted and inheritable, twice.
	set := new([2]unix.CapUserData)
	for i := range set {
		set[i].Permitted = held[i].Permitted & mask(keep, i)
		set[i].Effective = set[i].Permitted
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	at := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	pin.Pin(set)
	pin.Pin(at)
	if err := everywhere(unix.SYS_CAPSET, uintptr(unsafe.Pointer(at)), uintptr(unsafe.Pointer(set))); err != nil {
		return fmt.Errorf("the capabilities: %w", err)
	}
	return nil
}

// bound drops from the bounding set what is not kept.
func bound(keep []int) error {
	for c := range 64 {
		if slices.Contains(keep, c) {
			continue
		}
		err := everywhere(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(c))
		if errors.Is(err, unix.EINVAL) {
			return nil // Beyond the kernel's last capability.
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mask are the bits of the capabilities in the half of a set.
func mask(keep []int, half int) uint32 {
	var bits uint32
	for _, c := range keep {
		if c/32 == half {
			bits |= 1 << (c % 32)
		}
	}
	return bits
}

// everywhere makes a system call on every thread.
func everywhere(call uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := psx.Syscall6(call, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}
