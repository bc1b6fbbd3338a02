//go:build chaos

package e2e

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

// Linux gives a process no wall clock of its own. So programs are built with a
// package time of Go that has one: its Now adds what a file says that lies
// beside the program and is named after the process, as [platform.below] names
// it. The file is mapped when the program starts, before it confines itself; a
// sandboxed child that finds none has the machine's clock. Monotonic time stays
// what it is, as with a clock that somebody sets.
const shifted = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// shift is in nanoseconds.
var shift = mapShift()

func mapShift() *int64 {
	var self, line [4096]byte
	n, err := syscall.Readlink("/proc/self/exe", self[:])
	if err != nil {
		return new(int64)
	}
	fd, err := syscall.Open("/proc/self/cmdline", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return new(int64)
	}
	m, _ := syscall.Read(fd, line[:])
	syscall.Close(fd)
	cut := n
	for cut > 0 && self[cut-1] != '/' {
		cut--
	}
	name := string(self[cut:n])
	if name == "tenon" && m > 0 {
		var arguments []string
		start := 0
		for i, b := range line[:m] {
			if b == 0 {
				arguments, start = append(arguments, string(line[start:i])), i+1
			}
		}
		if len(arguments) > 1 {
			name = arguments[1]
		}
	}
	fd, err = syscall.Open(string(self[:cut])+name+".clock", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return new(int64)
	}
	page, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	syscall.Close(fd)
	if err != nil {
		panic("time: the clock could not be mapped")
	}
	return (*int64)(unsafe.Pointer(&page[0]))
}

func shiftedNow() (sec int64, nsec int32, mono int64) {
	sec, nsec, mono = runtimeNow()
	ns := int64(nsec) + atomic.LoadInt64(shift)
	sec, ns = sec+ns/1e9, ns%1e9
	if ns < 0 {
		sec, ns = sec-1, ns+1e9
	}
	return sec, int32(ns), mono
}
`

// clockOverlay makes what "go build -overlay" needs to build programs with a
// clock of their own, out of the installed Go.
func clockOverlay(t *testing.T) (path string) {
	t.Helper()
	directory := t.TempDir()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	require.NoError(t, err)
	library := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	original, err := os.ReadFile(filepath.Join(library, "time.go"))
	require.NoError(t, err)
	const reading = "sec, nsec, mono := runtimeNow()"
	require.Equal(t, 1, strings.Count(string(original), reading), "this Go reads the clock in another way")
	write := func(name, text string) string {
		path := filepath.Join(directory, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(library, "time.go"):  write("time.go", strings.Replace(string(original), reading, "sec, nsec, mono := shiftedNow()", 1)),
		filepath.Join(library, "shift.go"): write("shift.go", shifted),
	}})
	require.NoError(t, err)
	return write("overlay.json", string(replace))
}

// clocks are the wall clocks of the processes of a platform, by name.
type clocks map[string]*atomic.Int64

// clocked are the processes that have one: of each name all together.
var clocked = []string{"up", "api", "host", "tenon-engine", "tenon-starter", "tenon-cell"}

func newClocks(t *testing.T, bin string) clocks {
	t.Helper()
	c := clocks{}
	for _, name := range clocked {
		c[name] = (*atomic.Int64)(mapped(t, filepath.Join(bin, name+".clock")))
	}
	return c
}

// jump sets the clocks off by so much; zero sets them right.
func (c clocks) jump(by time.Duration, names ...string) {
	for _, name := range names {
		c[name].Store(int64(by))
	}
}

// TestAClockSetBack: the engine was started while its clock was fast, the clock
// is set right, and then the engine loses its connections: the work goes on. A wait
// that was begun while the clocks were fast is not longer for it, whether its cell
// lives on or not.
func TestAClockSetBack(t *testing.T) {
	built := build(t, "-tags=crash", "-overlay="+clockOverlay(t))
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			c := newChaosAt(t, copied(t, built), db.name == "PostgreSQL")
			s := newShop(t, c.p, ledger.Keys, map[string]string{"now": billing(""), "later": billing(waiting(5 * time.Second))})
			s.accepted(t, "now", "before")
			s.reach(t, 30*time.Second, "completed", 1)

			c.clocks.jump(time.Hour, clocked...)
			seen := c.p.processes(t)
			require.NoError(t, syscall.Kill(c.p.pid(t, "tenon-engine"), syscall.SIGKILL))
			c.p.replaced(t, []string{"tenon-engine"}, seen)
			eventually(t, 30*time.Second, "the engine answers", func() bool {
				conn, err := net.Dial("tcp", c.p.engine)
				if err != nil {
					return false
				}
				return conn.Close() == nil
			})
			c.clocks.jump(0, clocked...)
			st := s.stream(t, 4, time.Millisecond, "now")
			st.more(t, 100)
			if c.cluster != nil {
				c.database(t)
			}
			st.more(t, 100)
			orders := append(st.end(), "before")
			s.reach(t, time.Minute, "completed", len(orders))
			for _, order := range []string{"lives", "dies"} {
				c.clocks.jump(time.Hour, "host", "tenon-engine", "tenon-starter", "tenon-cell")
				s.accepted(t, "later", order)
				waits := s.reach(t, 30*time.Second, "waiting", 1)[0]
				require.Greater(t, time.Until(waits.DueAt), 50*time.Minute)
				if order == "dies" {
					require.NoError(t, syscall.Kill(c.p.pid(t, "tenon-cell"), syscall.SIGKILL))
				}
				c.clocks.jump(0, clocked...)
				orders = append(orders, order)
				s.reach(t, 2*time.Minute, "completed", len(orders))
			}
			s.bills(t, orders...)
		})
	}
}
