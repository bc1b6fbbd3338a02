//go:build chaos

package e2e

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
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
// whose bookkeepers honour idempotency keys, can be asked, or neither, while blow
// after blow falls: see [chaos.blow]. Afterwards every acknowledged event has
// exactly one run, which is completed or uncertain; no bill is there twice, and
// none is missing but of what is uncertain; where the target honours keys nothing
// is. The audit chains verify, and no process is left. The seed decides on the
// blows and their order.
func TestChaos(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64N(1 << 32)
	}
	built := build(t, "-tags=crash", "-overlay="+clockOverlay(t))
	for _, db := range []string{"SQLite", "PostgreSQL"} {
		t.Run(db, func(t *testing.T) {
			t.Logf("the seed is %d", *seed)
			c := newChaos(t, copied(t, built), db == "PostgreSQL")
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
	*doomed
	env     []string
	cluster *storetest.Cluster
	shops   map[ledger.Mode]*shop
	streams map[ledger.Mode]*stream
	cutters map[ledger.Mode]*cutter
	clocks  clocks
	seen    map[int]string
	// mounted: the data is on a disk of its own, which can be filled.
	mounted bool
}

func newChaos(t *testing.T, bin string, postgres bool) *chaos {
	t.Helper()
	c := newChaosAt(t, bin, postgres)
	for _, mode := range kinds {
		c.shops[mode], c.cutters[mode] = newCutShop(t, c.p, mode, shaken())
		c.watch(t, "tenon-cell", c.shops[mode].org)
	}
	c.everything(t) // For the cells' processes to find their orders.
	for _, mode := range kinds {
		c.streams[mode] = c.shops[mode].stream(t, 1, 100*time.Millisecond, "now", "pair", "now", "later")
	}
	return c
}

// newChaosAt is a platform with clocks and a disk of its own, without work.
func newChaosAt(t *testing.T, bin string, postgres bool) *chaos {
	t.Helper()
	c := &chaos{
		Rand:  rand.New(rand.NewPCG(*seed, 1)),
		shops: map[ledger.Mode]*shop{}, streams: map[ledger.Mode]*stream{}, cutters: map[ledger.Mode]*cutter{}, seen: map[int]string{},
		env: []string{"TENON_CELL_IDLE=0"},
	}
	if postgres {
		c.cluster = storetest.Postgres(t)
		c.env = slices.Insert(c.env, 0, "TENON_POSTGRES_URL="+c.cluster.Database(t))
	}
	p := newPlatform(t, c.env...)
	p.bin = bin
	c.clocks, c.doomed = newClocks(t, bin), newDoomed(t, p)
	c.mount(t)
	p.start(t)
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

// end waits for the last runs and compares all with the truth.
func (c *chaos) end(t *testing.T) {
	t.Helper()
	c.spare()
	for _, st := range c.streams {
		st.end()
	}
	for mode, s := range c.shops {
		require.NoError(t, s.books.Control(ledger.Control{}))
		c.cutters[mode].order(0, 0)
	}
	for mode, s := range c.shops {
		orders := c.streams[mode].end()
		s.settles(t, settled, len(orders))
		t.Logf("%s: %d events, %v", mode, len(orders), s.account(t, c.streams[mode]))
	}
	maps.Copy(c.seen, c.p.processes(t))
	c.p.sound(t)
	c.p.stop(t)
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
