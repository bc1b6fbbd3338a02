package keyfile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/tenonhq/tenon/schema"
)

// ReadPrivate reads a file that only its owner, this process's user, may read
// or write. Errors name the path and never what the file holds.
func ReadPrivate(path string, limit int64) ([]byte, error) {
	return read(path, limit, true)
}

// ReadPublic reads a file that others may read, but nobody else may write.
func ReadPublic(path string, limit int64) ([]byte, error) {
	return read(path, limit, false)
}

func read(path string, limit int64, private bool) (text []byte, err error) {
	// The checks are made on the open descriptor, not on the path: what is judged
	// is what is read. O_NONBLOCK: a FIFO must not hold up the start.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, failed(path, "be read", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, failed(path, "be read", err)
	}
	if err := check(path, info, private); err != nil {
		return nil, err
	}
	text, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, failed(path, "be read", err)
	}
	if int64(len(text)) > limit {
		return nil, schema.Errorf(schema.CodeTooLarge, "%s has more than %d bytes", path, limit)
	}
	return text, nil
}

// check judges an open key file.
func check(path string, info fs.FileInfo, private bool) error {
	if !info.Mode().IsRegular() {
		return schema.Errorf(schema.CodeRefused, "%s is not a regular file", path)
	}
	if err := checkOwner(path, info); err != nil {
		return err
	}
	if private && info.Mode().Perm()&0o077 != 0 {
		return schema.Errorf(schema.CodeRefused, "%s can be read or written by others: its mode is %#o", path, info.Mode().Perm()).
			Advise("Set its mode to 0600, and replace the key if others may have read it.")
	}
	if info.Mode().Perm()&0o022 != 0 {
		return schema.Errorf(schema.CodeRefused, "%s can be written by others: its mode is %#o", path, info.Mode().Perm()).
			Advise("Set its mode to 0644 or stricter.")
	}
	return nil
}

// checkOwner refuses what belongs to neither this process's user nor root.
func checkOwner(path string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || (st.Uid != 0 && int64(st.Uid) != int64(os.Geteuid())) {
		return schema.Errorf(schema.CodeRefused, "%s belongs to another user", path)
	}
	return nil
}

// EnsureDirectory makes the directory for this user alone, or refuses one that
// others may look into.
func EnsureDirectory(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return failed(path, "be made", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return failed(path, "be read", err)
	}
	if !info.IsDir() {
		return schema.Errorf(schema.CodeRefused, "%s is not a directory", path)
	}
	if err := checkOwner(path, info); err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return schema.Errorf(schema.CodeRefused, "%s can be entered by others: its mode is %#o", path, info.Mode().Perm()).
			Advise("Set its mode to 0700.")
	}
	return nil
}

// Replace writes the file whole or not at all: it is on disk under its name
// when Replace returns.
func Replace(path string, text []byte, mode fs.FileMode) error {
	temporary, err := stage(path, text, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		_ = os.Remove(temporary)
		return failed(path, "be written", err)
	}
	return syncDirectory(filepath.Dir(path))
}

// Supersede is Replace for a file whose former content must not be left on the
// disk: it is overwritten where it was, as far as Destroy can. Who reads the
// file meanwhile may find zeros, and finds the new content when he opens it again.
func Supersede(path string, text []byte, mode fs.FileMode) error {
	former, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Replace(path, text, mode)
	}
	if err != nil {
		return failed(path, "be replaced", err)
	}
	defer func() { _ = former.Close() }()
	if err := Replace(path, text, mode); err != nil {
		return err
	}
	if err := blank(former); err != nil {
		return failed(path, "be overwritten", err)
	}
	return nil
}

// Promote puts a file in place of another, whose content is overwritten where it
// was.
func Promote(from, to string) error {
	former, err := os.OpenFile(to, os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return failed(to, "be replaced", err)
	}
	defer func() { _ = former.Close() }()
	if err := os.Rename(from, to); err != nil {
		return failed(to, "be replaced", err)
	}
	if err := syncDirectory(filepath.Dir(to)); err != nil {
		return err
	}
	if err := blank(former); err != nil {
		return failed(to, "be overwritten", err)
	}
	return nil
}

// Overwrite writes content over content of the same size, in the same file: a
// process that may read no other goes on reading it.
func Overwrite(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return failed(path, "be written", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return failed(path, "be read", err)
	}
	if info.Size() != int64(len(text)) {
		return schema.Errorf(schema.CodeInvalid, "%s does not hold what is to be replaced", path)
	}
	if _, err := f.WriteAt(text, 0); err != nil {
		return failed(path, "be written", err)
	}
	if err := f.Sync(); err != nil {
		return failed(path, "be written", err)
	}
	return nil
}

// blank overwrites an open file.
func blank(f *os.File) error {
	info, err := f.Stat()
	if err == nil {
		_, err = f.Write(make([]byte, info.Size()))
	}
	if err == nil {
		err = f.Sync()
	}
	return err
}

// Create writes the file unless there is one; created tells which. Of several
// that create at once, one does, and the others see a whole file.
func Create(path string, text []byte, mode fs.FileMode) (created bool, err error) {
	temporary, err := stage(path, text, mode)
	if err != nil {
		return false, err
	}
	defer func() { _ = os.Remove(temporary) }()
	err = os.Link(temporary, path)
	switch {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil:
		return false, failed(path, "be written", err)
	}
	return true, syncDirectory(filepath.Dir(path))
}

// Staged matches the files that are being written: what a process that was
// killed meanwhile leaves.
const Staged = ".new-*"

// stage writes a hidden file beside path, on disk.
func stage(path string, text []byte, mode fs.FileMode) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), Staged)
	if err != nil {
		return "", failed(path, "be written", err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", failed(path, "be written", err)
	}
	return f.Name(), nil
}

// Destroy overwrites a file and removes it. On a file system that copies on
// write the overwriting may not reach the old blocks; the removal stands.
func Destroy(path string) error {
	// Through a symbolic link, another file would be overwritten.
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return failed(path, "be removed", err)
	}
	err = blank(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if removed := os.Remove(path); removed != nil {
		return failed(path, "be removed", removed)
	}
	if err != nil {
		return failed(path, "be overwritten", err)
	}
	return syncDirectory(filepath.Dir(path))
}

// DestroyAny is Destroy for a file that may be gone already.
func DestroyAny(path string) error {
	if err := Destroy(path); schema.CodeOf(err) != schema.CodeNotFound {
		return err
	}
	return nil
}

// Blank tells that all of a file's content is overwritten: a Destroy was killed
// before it removed the file, and what it held is gone.
func Blank(text []byte) bool {
	return len(text) > 0 && len(bytes.Trim(text, "\x00")) == 0
}

// syncDirectory makes the directory's entries durable.
func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return failed(path, "be synced", err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return failed(path, "be synced", err)
	}
	return nil
}

func failed(path, what string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return schema.Errorf(schema.CodeNotFound, "there is no %s: %w", path, err)
	}
	if errors.Is(err, syscall.ELOOP) {
		return schema.Errorf(schema.CodeRefused, "%s is a symbolic link: %w", path, err)
	}
	return schema.Errorf(schema.CodeUnavailable, "%s could not %s: %w", path, what, err)
}
