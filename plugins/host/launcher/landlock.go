package launcher

import (
	"fmt"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/plugins/host/enclosure"
)

// Rights by the version of the kernel's interface that brought them.
const (
	fsFirst    = 1<<13 - 1 // execute to make_sym
	fsRefer    = ll.AccessFSRefer
	fsTruncate = ll.AccessFSTruncate
	fsIoctl    = ll.AccessFSIoctlDev

	netTCP = ll.AccessNetBindTCP | ll.AccessNetConnectTCP
	scopes = ll.ScopeAbstractUnixSocket | ll.ScopeSignal

	// What the socket directory is for: to make a place, take it away again and
	// bind a socket there.
	socketRights = ll.AccessFSReadFile | ll.AccessFSWriteFile | ll.AccessFSMakeReg | ll.AccessFSMakeSock | ll.AccessFSRemoveFile
)

// landlock closes the file system except for the program and the socket
// directory, TCP, and signals and abstract sockets beyond the sandbox. It says
// what this kernel cannot do of that and no namespace does instead.
func landlock(p plan) ([]string, error) {
	attr, missing := handled(p.Mode.Namespaces)
	if attr.HandledAccessFS == 0 {
		return missing, nil
	}
	rules, err := ll.LandlockCreateRuleset(&attr, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(rules) }()
	program := ll.PathBeneathAttr{ParentFd: programFD, AllowedAccess: ll.AccessFSExecute | ll.AccessFSReadFile}
	if err := ll.LandlockAddPathBeneathRule(rules, &program, 0); err != nil {
		return nil, err
	}
	if p.Spec.Directory != "" {
		if err := allow(rules, ".", socketRights); err != nil {
			return nil, err
		}
	}
	// This thread alone: it is the one that becomes the program.
	return missing, ll.LandlockRestrictSelf(rules, 0)
}

func allow(rules int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { _ = unix.Close(fd) }()
	return ll.LandlockAddPathBeneathRule(rules, &ll.PathBeneathAttr{ParentFd: fd, AllowedAccess: rights}, 0)
}

// handled is all that this kernel's Landlock can close, and what it cannot and
// no namespace does instead. It is empty where there is no Landlock.
func handled(namespaces bool) (attr ll.RulesetAttr, missing []string) {
	abi := enclosure.Version()
	if abi < 1 {
		return attr, []string{"landlock"}
	}
	attr.HandledAccessFS = fsFirst
	for _, right := range []struct {
		since int
		name  string
		add   func()
	}{
		{2, "", func() { attr.HandledAccessFS |= fsRefer }},
		{3, "landlock-truncate", func() { attr.HandledAccessFS |= fsTruncate }},
		{4, "landlock-network", func() { attr.HandledAccessNet = netTCP }},
		{5, "landlock-ioctl", func() { attr.HandledAccessFS |= fsIoctl }},
		{6, "landlock-scope", func() { attr.Scoped = scopes }},
	} {
		if abi >= right.since {
			right.add()
		} else if !namespaces && right.name != "" {
			missing = append(missing, right.name)
		}
	}
	return attr, missing
}
