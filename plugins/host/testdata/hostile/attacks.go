package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// descriptors tells what is open beside the standard streams.
func descriptors() []string {
	out := []string{}
	for fd := 3; fd < 1024; fd++ {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT != 0 { // Go's epoll and eventfd have no type.
			out = append(out, fmt.Sprintf("%d: mode %o", fd, st.Mode))
		}
	}
	return out
}

func opened(paths []string) []string {
	out := []string{}
	for _, p := range paths {
		if f, err := os.Open(p); err == nil {
			n, rerr := f.Read(make([]byte, 16))
			list, derr := f.Readdirnames(-1)
			if rerr == nil && n > 0 || derr == nil && len(list) > 0 {
				out = append(out, p)
			}
		}
		if _, err := os.ReadDir(p); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// written tells where content could be put, links or directories be made.
func written(paths []string) []string {
	out := []string{}
	for _, dir := range append(paths, ".", "/", "/tmp", "/dev/shm") {
		path := filepath.Join(dir, "loot")
		if f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			if n, _ := f.Write([]byte("loot")); n > 0 {
				out = append(out, path)
			}
			_ = f.Close()
		}
		if os.Mkdir(path+"d", 0o700) == nil {
			out = append(out, path+"d")
		}
		if os.Symlink("/etc/passwd", path+"l") == nil {
			out = append(out, path+"l")
		}
		if os.Chmod(dir, 0o777) == nil {
			out = append(out, "chmod "+dir)
		}
	}
	return out
}

func try(out *[]string, name string, errno syscall.Errno) {
	if errno == 0 {
		*out = append(*out, name)
	}
}

// spied tells how another process could be reached.
func spied(pid int) []string {
	out := []string{}
	_, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_ATTACH, uintptr(pid), 0, 0, 0, 0)
	try(&out, "ptrace", e)
	buf := make([]byte, 8)
	local := unix.Iovec{Base: &buf[0], Len: 8}
	remote := unix.RemoteIovec{Base: 0x400000, Len: 8}
	if _, err := unix.ProcessVMReadv(pid, []unix.Iovec{local}, []unix.RemoteIovec{remote}, 0); err == nil {
		out = append(out, "process_vm_readv")
	} else if err != unix.EPERM && err != unix.ESRCH {
		out = append(out, "process_vm_readv was let through: "+err.Error())
	}
	if unix.Kill(pid, 0) == nil {
		out = append(out, "kill")
	}
	if unix.Tgkill(pid, pid, 0) == nil {
		out = append(out, "tgkill")
	}
	if _, err := unix.PidfdOpen(pid, 0); err == nil {
		out = append(out, "pidfd_open")
	}
	var limit unix.Rlimit
	if unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit) == nil {
		out = append(out, "prlimit")
	}
	for _, name := range []string{"environ", "mem", "maps", "cmdline", "root", "fd"} {
		if _, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, name)); err == nil {
			out = append(out, name)
		}
	}
	return out
}

func sockets() []string {
	out := []string{}
	for name, s := range map[string][2]int{
		"inet": {unix.AF_INET, unix.SOCK_STREAM}, "inet udp": {unix.AF_INET, unix.SOCK_DGRAM}, "inet6": {unix.AF_INET6, unix.SOCK_STREAM},
		"netlink": {unix.AF_NETLINK, unix.SOCK_RAW}, "packet": {unix.AF_PACKET, unix.SOCK_RAW}, "vsock": {unix.AF_VSOCK, unix.SOCK_STREAM},
		"alg": {unix.AF_ALG, unix.SOCK_SEQPACKET}, "unix dgram": {unix.AF_UNIX, unix.SOCK_DGRAM}, "unix seqpacket": {unix.AF_UNIX, unix.SOCK_SEQPACKET},
	} {
		if _, err := unix.Socket(s[0], s[1], 0); err == nil {
			out = append(out, name)
		}
	}
	if _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0); err == nil {
		out = append(out, "socketpair")
	}
	return out
}

func connected(paths, names []string) []string {
	out := []string{}
	for _, name := range append(paths, names...) {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			continue
		}
		addr := name
		if !strings.HasPrefix(name, "/") {
			addr = "@" + name
		}
		if unix.Connect(fd, &unix.SockaddrUnix{Name: addr}) == nil {
			out = append(out, name)
		}
		_ = unix.Close(fd)
	}
	return out
}

// processes tells how another process could be made.
func processes() []string {
	out := []string{}
	child := func(name string, pid uintptr, e syscall.Errno) {
		if e == 0 && pid == 0 {
			unix.Exit(0)
		}
		try(&out, name, e)
	}
	pid, _, e := unix.RawSyscall(unix.SYS_FORK, 0, 0, 0)
	child("fork", pid, e)
	pid, _, e = unix.RawSyscall(unix.SYS_VFORK, 0, 0, 0)
	child("vfork", pid, e)
	pid, _, e = unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	child("clone", pid, e)
	args := [11]uint64{4: uint64(unix.SIGCHLD)}
	pid, _, e = unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	child("clone3", pid, e)
	if err := unix.Exec("/proc/self/exe", []string{"x"}, nil); err != nil && err != unix.EPERM {
		out = append(out, "execve was let through: "+err.Error())
	}
	_, _, e = unix.RawSyscall6(unix.SYS_EXECVEAT, 5, 0, 0, 0, unix.AT_EMPTY_PATH, 0)
	if e != unix.EPERM {
		out = append(out, "execveat was let through")
	}
	return out
}

// calls tells which dangerous system calls are let through: the filter refuses
// with EPERM, whatever the arguments.
func calls() []string {
	out := []string{}
	for name, nr := range map[string]uintptr{
		"mount": unix.SYS_MOUNT, "umount2": unix.SYS_UMOUNT2, "pivot_root": unix.SYS_PIVOT_ROOT, "chroot": unix.SYS_CHROOT,
		"unshare": unix.SYS_UNSHARE, "setns": unix.SYS_SETNS, "bpf": unix.SYS_BPF, "keyctl": unix.SYS_KEYCTL, "add_key": unix.SYS_ADD_KEY,
		"perf_event_open": unix.SYS_PERF_EVENT_OPEN, "io_uring_setup": unix.SYS_IO_URING_SETUP, "userfaultfd": unix.SYS_USERFAULTFD,
		"kexec_load": unix.SYS_KEXEC_LOAD, "memfd_create": unix.SYS_MEMFD_CREATE, "shmget": unix.SYS_SHMGET, "msgget": unix.SYS_MSGGET,
		"mq_open": unix.SYS_MQ_OPEN, "open_by_handle_at": unix.SYS_OPEN_BY_HANDLE_AT, "ptrace": unix.SYS_PTRACE, "sendmsg": unix.SYS_SENDMSG,
		"recvmsg": unix.SYS_RECVMSG, "connect": unix.SYS_CONNECT, "link": unix.SYS_LINK, "symlink": unix.SYS_SYMLINK, "rename": unix.SYS_RENAME,
		"mknod": unix.SYS_MKNOD, "setuid": unix.SYS_SETUID, "init_module": unix.SYS_INIT_MODULE, "ioctl": unix.SYS_IOCTL,
		"personality": unix.SYS_PERSONALITY, "seccomp": unix.SYS_SECCOMP, "capset": unix.SYS_CAPSET, "process_madvise": unix.SYS_PROCESS_MADVISE,
		"open_tree": unix.SYS_OPEN_TREE, "fsopen": unix.SYS_FSOPEN, "quotactl": unix.SYS_QUOTACTL, "syslog": unix.SYS_SYSLOG, "fallocate": unix.SYS_FALLOCATE,
	} {
		if _, _, e := unix.RawSyscall6(nr, ^uintptr(0), 0, 0, 0, 0, 0); e != unix.EPERM {
			out = append(out, name)
		}
	}
	const getpidX32 = 0x40000000 + 39
	if _, _, e := unix.RawSyscall(getpidX32, 0, 0, 0); e == 0 {
		out = append(out, "x32")
	}
	for name, flags := range map[string]uintptr{
		"shared": unix.MAP_SHARED | unix.MAP_ANONYMOUS, "validated": unix.MAP_SHARED_VALIDATE | unix.MAP_ANONYMOUS,
		"growing": unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_GROWSDOWN,
	} {
		_, _, e := unix.RawSyscall6(unix.SYS_MMAP, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, flags, ^uintptr(0), 0)
		try(&out, name, e)
	}
	return out
}

// threads makes threads, with stacks of their own, until the kernel refuses; it
// counts those that run. The Go runtime dies of a refused thread, so they are
// made by hand and only wait.
func threads() int {
	var made int
	for range 2000 {
		stack, err := unix.Mmap(-1, 0, 16<<10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return made
		}
		if !sleeper(uintptr(unsafe.Pointer(&stack[0])) + 16<<10) {
			return made
		}
		made++
	}
	return made
}

var hoard [][]byte

// memory takes memory until the process dies of it.
func memory() int {
	var total atomic.Int64
	for range 4096 {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		hoard = append(hoard, b)
		total.Add(1 << 20)
	}
	runtime.KeepAlive(hoard)
	return int(total.Load())
}
