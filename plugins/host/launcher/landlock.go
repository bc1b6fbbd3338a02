package launcher

import (
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
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
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		return []string{"landlock"}, nil
	}
	attr := ll.RulesetAttr{HandledAccessFS: fsFirst}
	var missing []string
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
		} else if !p.Mode.Namespaces && right.name != "" {
			missing = append(missing, right.name)
		}
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
		here, err := unix.Open(".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		defer func() { _ = unix.Close(here) }()
		sockets := ll.PathBeneathAttr{ParentFd: here, AllowedAccess: socketRights}
		if err := ll.LandlockAddPathBeneathRule(rules, &sockets, 0); err != nil {
			return nil, err
		}
	}
	// This thread alone: it is the one that becomes the program.
	return missing, ll.LandlockRestrictSelf(rules, 0)
}
