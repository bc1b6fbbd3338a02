package launcher

import (
	"slices"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// allowed are the system calls of a sandboxed program: what a static program
// needs to compute, to tell the time, to serve one Unix socket and to end.
// All else is refused with EPERM: other sockets, connect, messages with
// addresses or descriptors, processes, ptrace and process_vm_*, mounts and
// namespaces, bpf, keyctl, perf_event_open, io_uring, userfaultfd, memfd, kexec,
// and whatever the kernel learns next.
var allowed = []string{
	// files: what may be opened is Landlock's and the empty root's matter
	"access", "faccessat", "faccessat2", "open", "openat", "close", "close_range", "read", "readv", "pread64", "write", "writev", "pwrite64",
	"lseek", "fstat", "stat", "lstat", "newfstatat", "fstatat", "statx", "readlink", "readlinkat", "getcwd",
	"unlink", "unlinkat", "fcntl", "dup", "dup2", "dup3", "pipe", "pipe2", "eventfd", "eventfd2",
	// waiting
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6",
	"futex", "futex_waitv", "nanosleep", "clock_nanosleep", "sched_yield", "restart_syscall",
	// memory
	"brk", "munmap", "mremap", "mprotect", "madvise", "mincore", "membarrier",
	// threads and signals of its own
	"arch_prctl", "set_tid_address", "set_robust_list", "get_robust_list", "rseq", "gettid", "getpid", "getppid", "tgkill",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "sigaltstack", "exit", "exit_group",
	"sched_getaffinity", "getcpu",
	// time, chance, identity
	"clock_gettime", "clock_getres", "gettimeofday", "time", "getrandom", "uname", "sysinfo", "getrusage", "times",
	"getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups",
	"setitimer", "getitimer", "timer_create", "timer_settime", "timer_gettime", "timer_delete", "getrlimit",
	// the one socket; which one socket() may make stands below
	"bind", "listen", "accept", "accept4", "getsockname", "getpeername", "getsockopt", "setsockopt", "shutdown",
}

// conditional are allowed with these arguments only.
func conditional() []seccomp.NameWithConditions {
	is := func(arg uint32, v uint64) seccomp.Condition {
		return seccomp.Condition{Argument: arg, Operation: seccomp.Equal, Value: v}
	}
	set := func(arg uint32, bits uint64) seccomp.Condition {
		return seccomp.Condition{Argument: arg, Operation: seccomp.BitsSet, Value: bits}
	}
	unset := func(arg uint32, bits uint64) seccomp.Condition {
		return seccomp.Condition{Argument: arg, Operation: seccomp.BitsNotSet, Value: bits}
	}
	return []seccomp.NameWithConditions{
		// Threads; a process never.
		{Name: "clone", Conditions: seccomp.ArgumentConditions{set(0, unix.CLONE_THREAD)}},
		// Stream sockets of the Unix family: a datagram socket could send to a
		// path without connecting.
		{Name: "socket", Conditions: seccomp.ArgumentConditions{
			is(0, unix.AF_UNIX), set(1, unix.SOCK_STREAM), unset(1, 0xf&^unix.SOCK_STREAM),
		}},
		// Sending and receiving without addresses.
		{Name: "sendto", Conditions: seccomp.ArgumentConditions{is(4, 0)}},
		{Name: "recvfrom", Conditions: seccomp.ArgumentConditions{is(4, 0)}},
		// Private memory, which RLIMIT_DATA counts; not shared (bit 0), and no
		// stack that grows by itself.
		{Name: "mmap", Conditions: seccomp.ArgumentConditions{unset(3, unix.MAP_SHARED|unix.MAP_GROWSDOWN)}},
		// Its own limits only, not those of another process of the same user.
		{Name: "prlimit64", Conditions: seccomp.ArgumentConditions{is(0, 0)}},
		// Names for threads and memory.
		{Name: "prctl", Conditions: seccomp.ArgumentConditions{is(0, unix.PR_SET_NAME)}},
		{Name: "prctl", Conditions: seccomp.ArgumentConditions{is(0, unix.PR_SET_VMA)}},
		// The program itself. The descriptor closes with the execution.
		{Name: "execveat", Conditions: seccomp.ArgumentConditions{is(0, programFD), is(4, unix.AT_EMPTY_PATH)}},
	}
}

// filter installs the policy for this thread and what it becomes.
func filter() error {
	p, err := policy("")
	if err != nil {
		return err
	}
	return seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Policy: p})
}

// policy is that of an architecture, by default of this one. Calls by another
// architecture's convention (int 0x80 and x32 on amd64) fall to the default
// action; the library demands one group for that to hold.
func policy(architecture string) (seccomp.Policy, error) {
	info, err := arch.GetInfo(architecture)
	if err != nil {
		return seccomp.Policy{}, err
	}
	names := slices.DeleteFunc(slices.Clone(allowed), func(name string) bool {
		_, known := info.SyscallNames[name]
		return !known // not every architecture has the old names
	})
	return seccomp.Policy{
		DefaultAction: seccomp.ActionErrno,
		Syscalls: []seccomp.SyscallGroup{{
			Action: seccomp.ActionAllow, Names: names, NamesWithCondtions: conditional(),
		}},
	}, nil
}
