//go:build chaos

package e2e

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

var (
	events = flag.Int("events", 10_000, "how many events TestChaos delivers, on each database")
	seed   = flag.Uint64("seed", 0, "what decides which blow falls when; 0 for one of its own")
)

const (
	// between is how many events are accepted from one blow to the next: enough
	// for most of what was struck to be back, and at work.
	between = 125
	// volume is the size of the disk that the platform's data is on, in bytes.
	volume = 3 << 30
	// settled is how long the last runs may take to end, after the last blow.
	settled = 10 * time.Minute
)

// TestChaos delivers signed events, each at least twice, to three organizations,
// whose bookkeepings honour idempotency keys, can be asked, or neither, while
// processes are killed and stopped, answers are lost and the disk is full.
// Afterwards every acknowledged event has exactly one run, which is completed or
// uncertain; no bill is there twice, and none is missing but of what is uncertain;
// where the target honours keys nothing is. The audit chains verify, and no
// process is left. The seed decides on the blows and their order.
func TestChaos(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64N(1 << 32)
	}
	for _, db := range []string{"SQLite", "PostgreSQL"} {
		t.Run(db, func(t *testing.T) {
			t.Logf("the seed is %d", *seed)
			c := newChaos(t, db == "PostgreSQL")
			for n := between; n < *events; n += between {
				c.until(t, n)
				c.blow(t)
			}
			c.until(t, *events)
			c.end(t)
		})
	}
}

// chaos is the platform under its blows.
type chaos struct {
	*rand.Rand
	p       *platform
	env     []string
	cluster *storetest.Cluster
	shops   map[ledger.Mode]*shop
	streams map[ledger.Mode]*stream
	seen    map[int]string
	// mounted: the data is on a disk of its own, which can be filled.
	mounted bool
}

func newChaos(t *testing.T, postgres bool) *chaos {
	t.Helper()
	c := &chaos{
		Rand:  rand.New(rand.NewPCG(*seed, 1)),
		shops: map[ledger.Mode]*shop{}, streams: map[ledger.Mode]*stream{}, seen: map[int]string{},
		env: []string{"TENON_CELL_IDLE=0"},
	}
	if postgres {
		c.cluster = storetest.Postgres(t)
		c.env = slices.Insert(c.env, 0, "TENON_POSTGRES_URL="+c.cluster.Database(t))
	}
	c.p = newPlatform(t, c.env...)
	c.mount(t)
	c.p.start(t)
	for _, mode := range []ledger.Mode{ledger.Keys, ledger.Lookup, ledger.None} {
		s := newShop(t, c.p, mode, map[string]string{"now": billing(""), "later": billing(waiting(700 * time.Millisecond))})
		c.shops[mode], c.streams[mode] = s, s.stream(t, 1)
	}
	return c
}

// mount gives the platform's data a small disk of its own, where that is allowed.
func (c *chaos) mount(t *testing.T) {
	t.Helper()
	disk := filepath.Dir(c.p.data)
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", volume)); err != nil {
		t.Logf("the disk is never full: it takes root to mount one: %v", err)
		return
	}
	c.mounted = true
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
}

// until waits until so many events were accepted in all.
func (c *chaos) until(t *testing.T, want int) {
	t.Helper()
	eventually(t, 5*time.Minute, fmt.Sprintf("%d events are accepted", want), func() bool {
		n := 0
		for _, st := range c.streams {
			st.mu.Lock()
			n += len(st.orders)
			require.Empty(t, st.wrong)
			st.mu.Unlock()
		}
		return n >= want
	})
}

// victims are the programs that are killed and stopped, by name.
var victims = []string{"api", "host", "tenon-engine", "tenon-cell", "tenon-launcher", "tenon-starter", "tenon-eval", "http"}

func (c *chaos) blow(t *testing.T) {
	t.Helper()
	maps.Copy(c.seen, c.p.processes(t))
	switch n := c.IntN(20); {
	case n < 9:
		c.kill(t, 1)
	case n < 11:
		c.kill(t, 2+c.IntN(3))
	case n < 14:
		c.pause(t, time.Duration(200+c.IntN(12_000))*time.Millisecond)
	case n < 17:
		c.answers(t)
	case n < 18:
		c.fill(t, time.Duration(200+c.IntN(3000))*time.Millisecond)
	case n < 19 && c.cluster != nil:
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
	for _, mode := range []ledger.Mode{ledger.Keys, ledger.Lookup, ledger.None} {
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
	c.p.kill()
	c.p.gone(t, c.seen)
	c.p.start(t)
}

// end waits for the last runs and compares all with the truth.
func (c *chaos) end(t *testing.T) {
	t.Helper()
	for _, st := range c.streams {
		st.end()
	}
	for mode, s := range c.shops {
		require.NoError(t, s.books.Control(ledger.Control{}))
		orders := c.streams[mode].end()
		byEvent := c.streams[mode].byEvent()
		require.Len(t, byEvent, len(orders))
		eventually(t, settled, fmt.Sprintf("the %d runs of %s end", len(orders), mode), func() bool {
			return !s.any(t, "waiting") && !s.any(t, "running") && !s.any(t, "pending") && len(s.runs(t)) >= len(orders)
		})
		runs := s.runs(t)
		bills := map[string]int{}
		for _, b := range s.books.Bills() {
			bills[b.Order]++
		}
		states := map[string]int{}
		for _, r := range runs {
			states[r.State]++
			order, ok := byEvent[r.Event]
			require.True(t, ok, "a run of no accepted event, or the second of one: %s", r.Event)
			delete(byEvent, r.Event)
			switch r.State {
			case "completed":
				require.Equal(t, 1, bills[order], "bills for %s, which is completed", order)
			case "uncertain":
				require.LessOrEqual(t, bills[order], 1, "bills for %s, which is uncertain", order)
			default:
				t.Errorf("run %s of %s is %s: %s", r.ID, order, r.State, r.Error)
			}
			delete(bills, order)
		}
		require.Empty(t, byEvent, "events without a run")
		require.Empty(t, bills, "bills without an order")
		t.Logf("%s: %d events, %v", mode, len(orders), states)
		if mode == ledger.Keys {
			require.Zero(t, states["uncertain"])
		}
	}
	maps.Copy(c.seen, c.p.processes(t))
	require.NotContains(t, c.p.logs(), "panic")
	require.Less(t, c.p.stop(t), 15*time.Second)
	c.p.gone(t, c.seen)
	for _, s := range c.shops {
		s.verifyAudit(t, c.postgres())
	}
}

func (c *chaos) postgres() []string {
	if c.cluster == nil {
		return nil
	}
	return c.env[:1]
}

// any tells whether a run is in the state.
func (s *shop) any(t *testing.T, state string) bool {
	t.Helper()
	var page struct{ Items []runView }
	s.must(t, http.MethodGet, "/v1/runs?limit=1&state="+state, 200, nil, &page)
	return len(page.Items) > 0
}

// byEvent gives the orders that were accepted, by the ids of their events.
func (st *stream) byEvent() map[string]string {
	st.mu.Lock()
	defer st.mu.Unlock()
	return maps.Clone(st.events)
}
