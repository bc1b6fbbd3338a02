package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Held says which limits cgroups hold; the rest is held by weaker means, or not.
type Held struct{ Memory, Processes, Weight bool }

// knob is a file of a group that takes a limit, in version 2 and in version 1.
type knob struct {
	files [2]string
	value func(l Limits) (text [2]string, set bool)
	held  func(*Held) *bool
}

func knobs() []knob {
	plain := func(pick func(Limits) int64) func(Limits) ([2]string, bool) {
		return func(l Limits) ([2]string, bool) {
			text := strconv.FormatInt(pick(l), 10)
			return [2]string{text, text}, pick(l) > 0
		}
	}
	return []knob{
		{[2]string{"memory.max", "memory.limit_in_bytes"}, plain(func(l Limits) int64 { return l.Memory }), func(h *Held) *bool { return &h.Memory }},
		{[2]string{"pids.max", "pids.max"}, plain(func(l Limits) int64 { return l.Processes }), func(h *Held) *bool { return &h.Processes }},
		{[2]string{"cpu.weight", "cpu.shares"}, func(l Limits) ([2]string, bool) {
			// The usual weight is 100 in version 2 and 1024 in version 1.
			return [2]string{strconv.FormatInt(l.Weight, 10), strconv.FormatInt(max(l.Weight*1024/100, 2), 10)}, l.Weight > 0
		}, func(h *Held) *bool { return &h.Weight }},
	}
}

// groupMode is that of a directory in a cgroup.
const groupMode = 0o755

func (l Limits) directories() []string {
	var out []string
	for _, g := range l.Groups {
		out = append(out, filepath.Join(g, l.Name))
	}
	return out
}

// groups makes the child's groups, sets their limits and tells which they hold.
func (l Limits) groups() (Held, error) {
	var held Held
	for _, directory := range l.directories() {
		enable(filepath.Dir(directory))
		if err := os.Mkdir(directory, groupMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return held, fmt.Errorf("make a group: %w", err)
		}
		for _, k := range knobs() {
			if err := l.set(directory, k, &held); err != nil {
				return held, err
			}
		}
	}
	return held, nil
}

func (l Limits) set(directory string, k knob, held *Held) error {
	text, wanted := k.value(l)
	for version, name := range k.files {
		path := filepath.Join(directory, name)
		if _, err := os.Stat(path); err != nil || !wanted {
			continue
		}
		if err := write(path, text[version]); err != nil {
			return fmt.Errorf("limit by %s: %w", name, err)
		}
		*k.held(held) = true
		return nil
	}
	return nil
}

// enable has the children of a version 2 group get the controllers that there
// are. Which came of it shows in their files.
func enable(parent string) {
	for _, controller := range []string{"+memory", "+pids", "+cpu"} {
		_ = write(filepath.Join(parent, "cgroup.subtree_control"), controller)
	}
}

func join(directories []string, pid int) error {
	for _, directory := range directories {
		if err := write(filepath.Join(directory, "cgroup.procs"), strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("enter a group: %w", err)
		}
	}
	return nil
}

// end takes the groups away. One that is not empty yet stays, and is used again
// by the next child of the name.
func (l Limits) end() {
	for _, directory := range l.directories() {
		_ = unix.Rmdir(directory)
	}
}

// write changes a file of a group, which must exist.
func write(path, text string) error {
	f, err := os.OpenFile(filepath.Clean(path), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// Try finds out which limits the groups hold, by making one as a child would
// get it. The error says why a directory cannot be used.
func (l Limits) Try() (Held, error) {
	l.Name = "tenon-try-" + strconv.Itoa(os.Getpid())
	defer l.end()
	return l.groups()
}
