//go:build chaos

package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/crash"
)

// crashing is how long processes have to pass the crash point they are to end at.
const crashing = 3 * time.Second

// victims are the programs that are killed and stopped, by name.
var victims = []string{"api", "host", "tenon-engine", "tenon-cell", "tenon-launcher", "tenon-starter", "tenon-eval", "http"}

// blow has one fall. Each draws the same from the seed whatever it meets.
func (c *chaos) blow(t *testing.T) {
	t.Helper()
	maps.Copy(c.seen, c.p.processes(t))
	switch n := c.IntN(25); {
	case n < 7:
		c.kill(t, 1)
	case n < 9:
		c.kill(t, 2+c.IntN(3))
	case n < 12:
		c.pause(t, time.Duration(200+c.IntN(12_000))*time.Millisecond)
	case n < 14:
		c.answers(t)
	case n < 16:
		c.cut(t)
	case n < 19:
		c.clock(t)
	case n < 22:
		c.crash(t)
	case n < 23:
		c.fill(t, time.Duration(200+c.IntN(3000))*time.Millisecond)
	case n < 24 && c.cluster != nil:
		c.database(t)
	default:
		c.everything(t)
	}
}

// choose draws a name, and then one of the processes of that name, once there is one.
func (c *chaos) choose(t *testing.T) (int, string) {
	t.Helper()
	name, at := victims[c.IntN(len(victims))], c.IntN(100)
	var pids []int
	eventually(t, time.Minute, "there is a process "+name, func() bool {
		for pid, n := range c.p.processes(t) {
			if n == name {
				pids = append(pids, pid)
			}
		}
		return len(pids) > 0
	})
	slices.Sort(pids)
	return pids[at%len(pids)], name
}

func (c *chaos) kill(t *testing.T, n int) {
	t.Helper()
	for range n {
		pid, name := c.choose(t)
		t.Logf("kill -9 %s", name)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// pause stops a process, longer than a lease at times, and lets it go on, late
// for all that others have done meanwhile.
func (c *chaos) pause(t *testing.T, d time.Duration) {
	t.Helper()
	pid, name := c.choose(t)
	t.Logf("stop %s for %s", name, d)
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	c.wait(d)
	_ = syscall.Kill(pid, syscall.SIGCONT)
}

func (c *chaos) wait(d time.Duration) {
	late := time.NewTimer(d)
	<-late.C
}

// answers has each bookkeeping lose some of its answers, before or after the
// bill is written, at once or late.
func (c *chaos) answers(t *testing.T) {
	t.Helper()
	control := ledger.Control{Count: 1 + c.IntN(5), Drop: true, StallMS: c.IntN(2) * c.IntN(4000), When: ledger.Before}
	if c.IntN(2) == 0 {
		control.When = ledger.After
	}
	t.Logf("lose %d answers, %s the bill, after %d ms", control.Count, control.When, control.StallMS)
	for _, mode := range kinds {
		require.NoError(t, c.shops[mode].books.Control(control))
	}
}

// fill leaves no room on the disk for a while.
func (c *chaos) fill(t *testing.T, d time.Duration) {
	t.Helper()
	if !c.mounted {
		return
	}
	t.Logf("fill the disk for %s", d)
	ballast, err := os.Create(filepath.Join(filepath.Dir(c.p.data), "ballast"))
	require.NoError(t, err)
	var free syscall.Statfs_t
	require.NoError(t, syscall.Statfs(c.p.data, &free))
	_ = syscall.Fallocate(int(ballast.Fd()), 0, 0, int64(free.Bavail)*free.Bsize)
	c.wait(d)
	require.NoError(t, ballast.Close())
	require.NoError(t, os.Remove(ballast.Name()))
}

// database kills a process of PostgreSQL's, which makes it end all sessions and
// recover from its log.
func (c *chaos) database(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.cluster.Directory, "data", "postmaster.pid"))
	require.NoError(t, err)
	var server int
	_, err = fmt.Sscan(strings.SplitN(string(text), "\n", 2)[0], &server)
	require.NoError(t, err)
	below := c.p.below(t, server)
	delete(below, server)
	pids := slices.Sorted(maps.Keys(below))
	if len(pids) > 0 {
		t.Log("kill -9 a process of PostgreSQL")
		_ = syscall.Kill(pids[c.IntN(len(pids))], syscall.SIGKILL)
	}
}

// everything kills the parent, with which all end, and starts it again.
func (c *chaos) everything(t *testing.T) {
	t.Helper()
	t.Log("kill -9 the parent, and start again")
	maps.Copy(c.seen, c.p.processes(t))
	c.p.kill()
	c.p.gone(t, c.seen)
	c.p.start(t)
}

// cut has connections to each bookkeeper cut, somewhere in the exchange.
func (c *chaos) cut(t *testing.T) {
	t.Helper()
	where, count := cut(c.IntN(int(cuts))), 1+c.IntN(5)
	t.Logf("cut %d connections %s", count, where)
	for _, cutter := range c.cutters {
		cutter.order(where, count)
	}
}

// clock sets the clocks of all processes, or of those of one name, off by up to
// three hours for a while. In the middle of it a process may be killed: the next
// one begins with a clock that is off.
func (c *chaos) clock(t *testing.T) {
	t.Helper()
	names := clocked
	if n := c.IntN(6); n < 4 {
		names = []string{[]string{"api", "host", "tenon-engine", "tenon-cell"}[n]}
	}
	by := time.Duration(60+c.IntN(60))*time.Second*time.Duration(1+c.IntN(2)*c.IntN(90)) - time.Millisecond
	if c.IntN(2) == 0 {
		by = -by
	}
	d, dies := time.Duration(500+c.IntN(6000))*time.Millisecond, c.IntN(2)
	t.Logf("set the clocks of %v off by %s for %s", names, by, 2*d)
	for _, st := range c.streams {
		st.clock.Add(1)
	}
	c.clocks.jump(by, names...)
	c.wait(d)
	c.kill(t, dies)
	c.wait(d)
	c.clocks.jump(0, names...)
	for _, st := range c.streams {
		st.clock.Add(1)
	}
}

// crash has whoever passes a crash point end there, once, within some seconds; for
// those at the start of a process, one may be killed.
func (c *chaos) crash(t *testing.T) {
	t.Helper()
	at, n, dies := 1+crash.Point(c.IntN(int(crash.Points)-1)), 1+c.IntN(5), c.IntN(2)
	t.Logf("end at the %d. passage of the point %q", n, at)
	who := slices.Sorted(maps.Keys(c.words))
	before := map[string]int{}
	for _, argument := range who {
		before[argument] = c.died(at, argument)
	}
	c.order(at, uint16(n), who...)
	defer c.spare()
	c.kill(t, dies)
	late := time.After(crashing)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case <-late:
			return
		case <-again.C:
		}
		for argument, n := range before {
			if c.died(at, argument) > n {
				c.words[argument].Store(0)
			}
		}
	}
}
