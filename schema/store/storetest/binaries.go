package storetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// binaries finds the newest PostgreSQL of the machine, or fetches one.
func binaries() (string, error) {
	places, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	slices.SortFunc(places, func(a, b string) int { return major(b) - major(a) })
	if initdb, err := exec.LookPath("initdb"); err == nil {
		places = append([]string{filepath.Dir(initdb)}, places...)
	}
	for _, bin := range places {
		if complete(bin) {
			return bin, nil
		}
	}
	return fetch()
}

func major(bin string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin))) // 0 sorts last
	return n
}

func complete(bin string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return false
		}
	}
	return true
}

// fetch downloads the binaries once for all tests of this user. The library
// has no call for that alone: it is told to start a server, which fails as
// root, and the server is not used.
func fetch() (string, error) {
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(cache, "server", "bin")
	unlock, err := lock(cache)
	if err != nil {
		return "", err
	}
	defer unlock()
	if complete(bin) {
		return bin, nil
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	server := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(embeddedpostgres.V15).CachePath(cache).BinariesPath(filepath.Join(cache, "server")).
		RuntimePath(filepath.Join(cache, "runtime")).Port(uint32(port)).Logger(nil))
	err = server.Start()
	if err == nil {
		err = server.Stop()
	}
	if complete(bin) {
		return bin, nil
	}
	return "", fmt.Errorf("there is no PostgreSQL on this machine, and none could be fetched: %w", err)
}

// cacheFolder must be readable by the user that the server runs as.
func cacheFolder() (string, error) {
	base := "/var/cache"
	if os.Geteuid() != 0 {
		var err error
		if base, err = os.UserCacheDir(); err != nil {
			return "", err
		}
	}
	folder := filepath.Join(base, "tenon-test-postgres")
	return folder, os.MkdirAll(folder, 0o755) //nolint:gosec // binaries, for another user to run
}

// lock keeps test binaries that run at the same time from fetching twice.
func lock(folder string) (func(), error) {
	f, err := os.OpenFile(filepath.Join(folder, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // closing unlocks
}

// unprivileged is the user for the server, which refuses to run as root; nil
// for the one we are.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // the zero value of SysProcAttr.Credential
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

// folder makes the cluster's folder where that user can reach it, with a path
// short enough for a Unix socket.
func folder(who *syscall.Credential) (string, error) {
	base := os.TempDir()
	if who != nil || len(base) > 60 {
		base = "/tmp"
	}
	made, err := os.MkdirTemp(base, "tenon-pg-")
	if err != nil || who == nil {
		return made, err
	}
	// The platform's processes have no rights over others' files, as root too, and
	// pass through it to the socket.
	if err := os.Chmod(made, 0o711); err != nil { //nolint:gosec // What is in it is closed by itself.
		return "", err
	}
	return made, os.Chown(made, int(who.Uid), int(who.Gid))
}
