package enclosure

import (
	"fmt"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// The versions of Landlock that brought a part.
const (
	abiPorts = 4
	abiScope = 6
)

// Version is the kernel's version of Landlock, 0 where there is none.
func Version() int {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil {
		return 0
	}
	return abi
}

// Scope enters a Landlock domain without rules for files: nobody outside of it
// can be traced, looked into or, from Linux 6.12, signalled or reached by an
// abstract socket, while what is started can still mount. It says what this
// kernel cannot do of that.
func Scope() (missing []string, err error) {
	attr := ll.RulesetAttr{}
	switch abi := Version(); {
	case abi >= abiScope:
		attr.Scoped = ll.ScopeAbstractUnixSocket | ll.ScopeSignal
	case abi >= abiPorts:
		// A domain that handles nothing does not exist: this one handles listening.
		attr.HandledAccessNet = ll.AccessNetBindTCP
		missing = []string{"landlock-scope"}
	default:
		return []string{"landlock-domain"}, nil
	}
	rules, err := ll.LandlockCreateRuleset(&attr, 0)
	if err != nil {
		return nil, fmt.Errorf("make a domain: %w", err)
	}
	defer func() { _ = unix.Close(rules) }()
	if err := ll.AllThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("no new privileges: %w", err)
	}
	if err := ll.AllThreadsLandlockRestrictSelf(rules, 0); err != nil {
		return nil, fmt.Errorf("enter a domain: %w", err)
	}
	return missing, nil
}
