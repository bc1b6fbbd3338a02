package process

import (
	"fmt"
	"math"
	"os/exec"

	"golang.org/x/sys/unix"
)

// Limits bound a child and what it starts; zero fields set no bound.
type Limits struct {
	// Memory is the private memory of the child in bytes, and with Groups that of
	// the child and all that it starts together.
	Memory int64 `json:"memory,omitempty"`
	// Processes are the processes and threads of the child and all that it
	// starts; Groups alone can bound them for one child among others.
	Processes int64 `json:"processes,omitempty"`
	// Weight is the share of processor time when there is too little, from 1 to
	// 10000; 100 is usual. Without Groups it becomes a nice value.
	Weight int64 `json:"weight,omitempty"`
	// Groups are delegated cgroup directories, of either version. In each the
	// child gets a group of its own, by Name, for as long as it lives.
	Groups []string `json:"groups,omitempty"`
	Name   string   `json:"name,omitempty"`
}

// begin starts the command under the limits. It is called on a thread of its
// own: what it changes there, the child inherits.
func (l Limits) begin(cmd *exec.Cmd) error {
	held, err := l.groups()
	if err != nil {
		return err
	}
	if l.Weight > 0 && !held.Weight {
		if err := lower(nice(l.Weight)); err != nil {
			return fmt.Errorf("lower the priority: %w", err)
		}
	}
	if err := cmd.Start(); err != nil {
		l.end()
		return err
	}
	if err := l.enter(cmd.Process.Pid, held); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		l.end()
		return err
	}
	return nil
}

// enter puts the child under what is not inherited. It is our own program, which
// does nothing before its parent goes on.
func (l Limits) enter(pid int, held Held) error {
	if err := join(l.directories(), pid); err != nil {
		return err
	}
	if l.Memory > 0 && !held.Memory {
		bound := unix.Rlimit{Cur: uint64(l.Memory), Max: uint64(l.Memory)}
		if err := unix.Prlimit(pid, unix.RLIMIT_DATA, &bound, nil); err != nil {
			return fmt.Errorf("limit the memory: %w", err)
		}
	}
	return nil
}

// lower makes this thread nicer by the step.
func lower(step int) error {
	// The kernel's answer is 20 less the nice value, so that it is never negative.
	now, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
	if err != nil {
		return err
	}
	return unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), min(mid-now+step, nicest))
}

const mid, nicest = 20, 19

// nice is what a weight adds to the nice value: each step is a factor of 1.25.
// Raising a priority needs a right that nobody here has, so more than the usual
// weight is the usual one.
func nice(weight int64) int {
	return min(max(int(math.Round(math.Log(100/float64(weight))/math.Log(1.25))), 0), nicest)
}
