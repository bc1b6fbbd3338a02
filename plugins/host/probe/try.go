//go:build probe

package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds an attempt to connect, or to send.
const patience = time.Second

// Try tries the plan from this thread.
func Try(p Plan) Answer {
	a := Answer{Capabilities: capabilities()}
	note := func(verb string, object any, ok bool) {
		if ok {
			a.Worked = append(a.Worked, fmt.Sprint(verb, ":", object))
		}
	}
	for _, path := range p.Read {
		note("read", path, reads(path))
		for _, pid := range p.PIDs {
			through := fmt.Sprintf("/proc/%d/root%s", pid, path)
			note("read", through, reads(through))
		}
	}
	for _, path := range p.Write {
		f, err := os.OpenFile(filepath.Clean(path), os.O_WRONLY, 0)
		if err == nil {
			_ = f.Close()
		}
		note("write", path, err == nil)
	}
	for _, path := range p.Execute {
		note("execute", path, exec.CommandContext(context.Background(), path).Start() == nil)
	}
	for _, pid := range p.PIDs {
		for _, verb := range into(pid) {
			note(verb, pid, true)
		}
	}
	for _, path := range p.Sockets {
		for _, network := range []string{"unix", "unixgram", "unixpacket"} {
			note(network, path, reaches(network, path))
			if !filepath.IsAbs(path) {
				continue // A name, which has no root.
			}
			for _, pid := range p.PIDs {
				through := fmt.Sprintf("/proc/%d/root%s", pid, path)
				note(network, through, reaches(network, through))
			}
		}
	}
	for _, address := range p.Connect {
		note("tcp", address, reaches("tcp", address))
	}
	for _, address := range p.Listen {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
		if err == nil {
			_ = l.Close()
		}
		note("listen", address, err == nil)
	}
	return a
}

// reaches connects. A datagram socket is sent something, too: what counts there
// is sending. One byte is no message to anybody.
func reaches(network, address string) bool {
	d := net.Dialer{Timeout: patience}
	// Landlock's rules are for plain TCP only. Both are tried, as in listening.
	d.SetMultipathTCP(true)
	c, err := d.DialContext(context.Background(), network, address)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	if network != "unixgram" {
		return true
	}
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	_, err = c.Write([]byte{0})
	return err == nil
}

func reads(path string) bool {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Readdirnames(1); err == nil {
		return true
	}
	n, _ := io.ReadFull(f, make([]byte, 1))
	return n > 0
}

// into tells how another process could be looked into.
func into(pid int) []string {
	var out []string
	for _, name := range []string{"mem", "environ", "maps"} {
		if f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, name)); err == nil {
			_, err = f.Read(make([]byte, 1))
			if err == nil || name == "mem" { // The first page is never there, but what is open is readable.
				out = append(out, name)
			}
			_ = f.Close()
		}
	}
	for fd := range 16 { // Their numbers are root's to list; what they are is not.
		if _, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); err == nil {
			out = append(out, "fd")
			break
		}
	}
	if seizes(pid) {
		out = append(out, "ptrace")
	}
	buf := make([]byte, 1)
	local := unix.Iovec{Base: &buf[0], Len: 1}
	if _, err := unix.ProcessVMReadv(pid, []unix.Iovec{local}, []unix.RemoteIovec{{Base: 0x400000, Len: 1}}, 0); err == nil {
		out = append(out, "process_vm_readv")
	}
	if handle, err := unix.PidfdOpen(pid, 0); err == nil {
		for fd := range 16 {
			if stolen, err := unix.PidfdGetfd(handle, fd, 0); err == nil {
				_ = unix.Close(stolen)
				out = append(out, "pidfd_getfd")
				break
			}
		}
		_ = unix.Close(handle)
	}
	return out
}

// seizes traces the process, from a thread that ends with it: seized, a process
// goes on as if nothing was until it gets a signal, as Go's runtime sends them, and
// then stands still until its tracer answers or ends.
func seizes(pid int) bool {
	seized := make(chan bool)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			// The main thread does not end. While it is held, the next is another.
			seized <- seizes(pid)
			runtime.UnlockOSThread()
			return
		}
		_, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0)
		seized <- e == 0
	}()
	return <-seized
}

func capabilities() map[string]string {
	out := map[string]string{}
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", unix.Gettid()))
	if err != nil {
		return out
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if strings.HasPrefix(name, "Cap") || name == "NoNewPrivs" {
			out[name] = strings.TrimSpace(value)
		}
	}
	return out
}
