package launcher

import (
	"fmt"
	"os"
	"path/filepath"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/plugins/host/enclosure"
)

// confineSelf takes from the launcher what it does not need: files but those of
// the directory, capabilities, and reaching into other processes. It says what
// cannot be had here.
func confineSelf(withoutNamespaces bool, directory string) (missing []string, err error) {
	if withoutNamespaces {
		missing, err = fence(directory)
	} else if err = enclosure.EmptyRoot(directory); err == nil {
		missing, err = enclosure.Scope()
	}
	if err != nil {
		return nil, fmt.Errorf("confine the launcher: %w", err)
	}
	if err := enclosure.Drop(enclosure.Forking()...); err != nil {
		return nil, fmt.Errorf("confine the launcher: %w", err)
	}
	return missing, nil
}

// fence is Landlock for a launcher whose children mount nothing. What it lacks
// its children lack, too, and say so.
func fence(directory string) ([]string, error) {
	attr, _ := handled(false)
	if attr.HandledAccessFS == 0 {
		return nil, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	rules, err := ll.LandlockCreateRuleset(&attr, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(rules) }()
	for path, rights := range map[string]uint64{
		directory:          socketRights | ll.AccessFSReadDir,
		filepath.Dir(self): ll.AccessFSExecute | ll.AccessFSReadFile,
		"/proc":            ll.AccessFSReadFile | ll.AccessFSReadDir,
	} {
		if err := allow(rules, path, rights); err != nil {
			return nil, err
		}
	}
	if err := ll.AllThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	return nil, ll.AllThreadsLandlockRestrictSelf(rules, 0)
}
