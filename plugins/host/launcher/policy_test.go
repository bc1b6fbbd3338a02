package launcher

import (
	"encoding/binary"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	allow32 = 0x7fff0000
	refuse  = 0x00050000 | uint32(unix.EPERM)
	unknown = 0x00050000 | uint32(unix.ENOSYS)
)

// verdict runs the filter over a call as the kernel does: number, architecture,
// instruction pointer and arguments, in words of the machine's order.
func verdict(t *testing.T, vm *bpf.VM, number, architecture uint32, args ...uint64) uint32 {
	t.Helper()
	var data [64]byte
	put := func(at int, word uint32) { binary.BigEndian.PutUint32(data[at:], word) } // The virtual machine's order.
	put(0, number)
	put(4, architecture)
	for i, a := range args {
		put(16+8*i, uint32(a))
		put(20+8*i, uint32(a>>32))
	}
	out, err := vm.Run(data[:])
	require.NoError(t, err)
	return uint32(out)
}

// TestForeignConventions runs the very filter that is installed over every call
// by the conventions of other architectures, which the numbers of this one do
// not fit: int 0x80, by which the numbers of i386 are called on amd64, and x32.
func TestForeignConventions(t *testing.T) {
	p, err := policy("x86_64")
	require.NoError(t, err)
	program, err := p.Assemble()
	require.NoError(t, err)
	vm, err := bpf.NewVM(program)
	require.NoError(t, err)

	native := arch.X86_64
	assert.Equal(t, uint32(allow32), verdict(t, vm, uint32(native.SyscallNames["getpid"]), uint32(native.ID)), "the control")
	thread := uint64(unix.CLONE_THREAD)
	assert.Equal(t, uint32(allow32), verdict(t, vm, uint32(native.SyscallNames["clone"]), uint32(native.ID), thread), "the control with an argument")
	assert.Equal(t, refuse, verdict(t, vm, uint32(native.SyscallNames["clone"]), uint32(native.ID), uint64(unix.SIGCHLD)))
	assert.Equal(t, refuse, verdict(t, vm, uint32(native.SyscallNames["ptrace"]), uint32(native.ID)))

	const x32 = 0x40000000
	for number := range uint32(1024) {
		require.Equal(t, refuse, verdict(t, vm, number, unix.AUDIT_ARCH_I386, thread), "int 0x80, call %d", number)
		require.Equal(t, unknown, verdict(t, vm, number|x32, uint32(native.ID), thread), "x32, call %d", number)
		require.Equal(t, refuse, verdict(t, vm, number, unix.AUDIT_ARCH_AARCH64, thread), "arm64, call %d", number)
	}
}
