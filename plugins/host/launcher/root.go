package launcher

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/plugins/host/enclosure"
)

// stage is a directory that every system has; the new root is laid over it, in
// a mount namespace where nobody else sees it.
const stage = "/proc"

// enterRoot leaves the host's file system for an empty one, which holds the
// socket directory and nothing else. Without namespaces it only goes to that
// directory; Landlock then keeps the rest closed.
func enterRoot(p plan) error {
	if !p.Mode.Namespaces {
		if p.Spec.Directory == "" {
			return os.Chdir("/")
		}
		return os.Chdir(p.Spec.Directory)
	}
	if err := unix.Sethostname([]byte("tenon")); err != nil {
		return fmt.Errorf("hostname: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	const bare = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("tenon", stage, "tmpfs", bare, "size=4k,nr_inodes=8,mode=755"); err != nil {
		return fmt.Errorf("empty root: %w", err)
	}
	if p.Spec.Directory != "" {
		if err := bind(p.Spec.Directory, stage+"/s", bare); err != nil {
			return err
		}
	}
	if err := enclosure.Enter(stage); err != nil {
		return err
	}
	if p.Spec.Directory != "" {
		return os.Chdir("/s")
	}
	return nil
}

// bind shows a directory of the host at target. The kernel keeps flags of the
// host's mount that a child may not lift, so they are asked for, too.
func bind(source, target string, flags uintptr) error {
	if err := os.Mkdir(target, 0o700); err != nil {
		return err
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind the socket directory: %w", err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(target, &fs); err != nil {
		return err
	}
	if fs.Flags&unix.ST_NOATIME != 0 {
		flags |= unix.MS_NOATIME
	}
	if fs.Flags&unix.ST_NODIRATIME != 0 {
		flags |= unix.MS_NODIRATIME
	}
	if fs.Flags&unix.ST_RELATIME != 0 {
		flags |= unix.MS_RELATIME
	}
	if err := unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_BIND|flags, ""); err != nil {
		return fmt.Errorf("restrict the socket directory: %w", err)
	}
	return nil
}
