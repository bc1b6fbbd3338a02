package enclosure

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Under root each stranger runs as a user id of its own, far from those that
// accounts and containers use. They are known in every enclosure.
const (
	FirstUser = 1_600_000_000
	Users     = 400_000_100
)

// Attributes are those of a child that has a user and a mount namespace of its
// own, where it keeps its user id. Under root the ids of strangers exist there,
// too; otherwise the child gets the capability to mount there.
func Attributes() *syscall.SysProcAttr {
	uid, gid := os.Geteuid(), os.Getegid()
	attr := &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}},
	}
	if uid == 0 {
		attr.UidMappings = append(attr.UidMappings, syscall.SysProcIDMap{ContainerID: FirstUser, HostID: FirstUser, Size: Users})
		attr.GidMappings = append(attr.GidMappings, syscall.SysProcIDMap{ContainerID: FirstUser, HostID: FirstUser, Size: Users})
		attr.GidMappingsEnableSetgroups = true
		return attr
	}
	attr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP}
	return attr
}
