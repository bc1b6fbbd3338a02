// Package confine takes from a process what it does not need: the files of
// others, and being looked into (design: each process holds only what is its own).
//
// It may import schema.
package confine

import (
	"errors"
	"io/fs"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/schema"
)

// Policy is what a process keeps.
type Policy struct {
	// ReadOnly, ReadWrite and Execute are files and directories; those that do
	// not exist are passed over.
	ReadOnly, ReadWrite, Execute []string
}

// system is what every process reads: certificates, names, time zones, the
// kernel's own tables.
func system() []string {
	return []string{
		"/etc", "/usr/share", "/usr/lib", "/lib", "/lib64", "/proc", "/sys/fs/cgroup", "/sys/kernel/mm", "/dev/null", "/dev/urandom", "/dev/random",
	}
}

// Hide makes the process not dumpable: another of the same user cannot read
// its memory or trace it.
func Hide() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the process could not be made undumpable: %w", err)
	}
	return nil
}

// Apply restricts every thread of the process, and its later children, for
// good. On a kernel without Landlock it does what it can.
func Apply(p Policy) error {
	if err := Hide(); err != nil {
		return err
	}
	rules := []landlock.Rule{
		landlock.RODirs(existing(system(), true)...).IgnoreIfMissing(),
		landlock.ROFiles(existing(system(), false)...).IgnoreIfMissing(),
		landlock.RWFiles(existing([]string{"/dev/null"}, false)...).IgnoreIfMissing(),
		landlock.RODirs(existing(p.ReadOnly, true)...), landlock.ROFiles(existing(p.ReadOnly, false)...),
		landlock.RWDirs(existing(p.ReadWrite, true)...).WithRefer(), landlock.RWFiles(existing(p.ReadWrite, false)...),
		landlock.RODirs(existing(p.Execute, true)...), landlock.ROFiles(existing(p.Execute, false)...),
	}
	if err := landlock.V5.BestEffort().RestrictPaths(rules...); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the process could not be confined: %w", err)
	}
	return nil
}

func existing(paths []string, dirs bool) []string {
	var out []string
	for _, p := range paths {
		info, err := os.Stat(p)
		if errors.Is(err, fs.ErrNotExist) || err != nil || info.IsDir() != dirs {
			continue
		}
		out = append(out, p)
	}
	return out
}
