package enclosure

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	// stage is a directory that every system has; a new root is laid over it, in
	// a mount namespace where nobody else sees it.
	stage = "/proc"
	bare  = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
)

// EmptyRoot leaves the file system for an empty one, which holds the
// directories and /proc in their places and nothing else. What is open stays
// open. It needs a mount namespace of its own ([Attributes]).
func EmptyRoot(directories ...string) error {
	if err := private(); err != nil {
		return err
	}
	kept, err := take(append([]string{"/proc"}, directories...))
	if err != nil {
		return err
	}
	defer kept.close()
	if err := unix.Mount("tenon", stage, "tmpfs", bare, "size=64k,mode=755"); err != nil {
		return fmt.Errorf("empty root: %w", err)
	}
	if err := kept.put(stage); err != nil {
		return err
	}
	return Enter(stage)
}

// Enter makes the file system that is mounted at the directory the root, for
// reading only, and lets go of the one before.
func Enter(directory string) error {
	if err := unix.Chdir(directory); err != nil {
		return fmt.Errorf("enter the new root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the old root: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|bare, ""); err != nil {
		return fmt.Errorf("read-only root: %w", err)
	}
	return unix.Chdir("/")
}

// Hide takes directories and files out of sight of this process and of all that
// it starts, except for the directories shown that lie in them. What else is
// seen is read-only, except for the directories shown. Nobody without a
// capability in the namespace undoes it.
func Hide(hidden, shown []string) error {
	if err := private(); err != nil {
		return err
	}
	kept, err := take(shown)
	if err != nil {
		return err
	}
	defer func(all trees) { all.close() }(kept)
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}); err != nil {
		return fmt.Errorf("read-only mounts: %w", err)
	}
	// Who makes a namespace writes there who it is to be in it.
	if err := unix.MountSetattr(unix.AT_FDCWD, "/proc", 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("writable /proc: %w", err)
	}
	for _, path := range hidden {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue // Hidden with its directory, or not there.
		case err != nil:
			return fmt.Errorf("look at what is to be hidden: %w", err)
		case !info.IsDir():
			if err := unix.Mount(os.DevNull, path, "", unix.MS_BIND, ""); err != nil {
				return fmt.Errorf("hide %s: %w", path, err)
			}
			continue
		}
		if err := unix.Mount("tenon", path, "tmpfs", bare, "size=64k,mode=755"); err != nil {
			return fmt.Errorf("hide %s: %w", path, err)
		}
		inside, outside := kept.split(path)
		if err := inside.put("/"); err != nil {
			return err
		}
		kept = outside
		if err := unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|bare, ""); err != nil {
			return fmt.Errorf("hide %s: %w", path, err)
		}
	}
	return kept.put("/")
}

// private keeps what is mounted here to this namespace.
func private() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	return nil
}

// tree is a part of the file system, taken before something is laid over it.
type tree struct {
	path string
	fd   int
}

type trees []tree

func take(paths []string) (trees, error) {
	var out trees
	for _, path := range paths {
		fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			out.close()
			return nil, fmt.Errorf("take %s along: %w", path, err)
		}
		out = append(out, tree{path, fd})
	}
	return out, nil
}

func (t trees) close() {
	for _, x := range t {
		_ = unix.Close(x.fd)
	}
}

// split tells those within the directory from the others.
func (t trees) split(directory string) (inside, outside trees) {
	for _, x := range t {
		if rel, err := filepath.Rel(directory, x.path); err == nil && filepath.IsLocal(rel) {
			inside = append(inside, x)
			continue
		}
		outside = append(outside, x)
	}
	return inside, outside
}

// put lays the trees at their paths under the root.
func (t trees) put(root string) error {
	for _, x := range t {
		target := filepath.Join(root, x.path)
		if err := os.MkdirAll(target, 0o755); err != nil { //nolint:gosec // Empty, and about to be covered.
			return fmt.Errorf("show %s: %w", x.path, err)
		}
		if err := unix.MoveMount(x.fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("show %s: %w", x.path, err)
		}
	}
	return nil
}
