package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/crash"
)

// kinds are the three kinds of target.
var kinds = []ledger.Mode{ledger.Keys, ledger.Lookup, ledger.None}

// reaching is how long processes have to get to a crash point: a cell sleeps when
// nothing is open any more, and that a bill is not there proves itself after minutes.
const reaching = 5 * time.Minute

// doomed are processes that can be told to end at a crash point: those of a
// platform whose programs were built for it.
type doomed struct {
	p      *platform
	bin    string
	serial uint16
	// words are the orders, by the first argument of the process.
	words map[string]*atomic.Uint64
}

func newDoomed(t *testing.T, p *platform) *doomed {
	t.Helper()
	d := &doomed{p: p, bin: p.bin, words: map[string]*atomic.Uint64{}}
	for _, service := range []string{"api", "host"} {
		d.watch(t, "tenon", service)
	}
	return d
}

// watch makes the file of a process's orders. One that runs already has looked
// for it, and takes none.
func (d *doomed) watch(t *testing.T, program, argument string) {
	t.Helper()
	d.words[argument] = (*atomic.Uint64)(mapped(t, crash.File(filepath.Join(d.bin, program), argument)))
}

// mapped makes a file of eight bytes, and shares it with who maps it, too.
func mapped(t *testing.T, path string) unsafe.Pointer {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	require.NoError(t, f.Truncate(8))
	page, err := syscall.Mmap(int(f.Fd()), 0, 8, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Munmap(page) })
	return unsafe.Pointer(&page[0])
}

// order has the processes end at the n-th passage of the point from now on.
func (d *doomed) order(at crash.Point, n uint16, who ...string) {
	d.serial++
	for _, argument := range who {
		d.words[argument].Store(crash.Order(at, n, d.serial))
	}
}

// spare takes all orders back.
func (d *doomed) spare() {
	for _, word := range d.words {
		word.Store(0)
	}
}

// died is how often the process ended at the point.
func (d *doomed) died(at crash.Point, argument string) int {
	return strings.Count(d.p.logs(), crash.Reached+at.By(argument)+"\n")
}

// dies has each of the processes end at the point, once, while something is done
// that leads there.
func (d *doomed) dies(t *testing.T, at crash.Point, n uint16, who []string, lead func()) {
	t.Helper()
	before := map[string]int{}
	for _, argument := range who {
		before[argument] = d.died(at, argument)
	}
	d.order(at, n, who...)
	defer d.spare()
	all := make(chan struct{})
	go func() {
		// Who is started again is spared, whatever still leads there.
		again := time.NewTicker(10 * time.Millisecond)
		defer again.Stop()
		for len(before) > 0 && t.Context().Err() == nil {
			<-again.C
			for argument, n := range before {
				if d.died(at, argument) > n {
					d.words[argument].Store(0)
					delete(before, argument)
				}
			}
		}
		close(all)
	}()
	lead()
	select {
	case <-all:
	case <-time.After(reaching):
		t.Fatalf("%v do not all end at the point %q", who, at)
	}
}

// walk is a platform with three organizations, whose processes end at one crash
// point after the other while orders come in.
type walk struct {
	*doomed
	env     []string
	shops   map[ledger.Mode]*shop
	streams map[ledger.Mode]*stream
	seen    map[int]string
}

// TestCrashPoints has processes end with -9 at crash points, while senders
// deliver each order at least twice to organizations with each kind of target. That
// each ended there is asserted. Afterwards all is accounted for, and no process
// is left.
func TestCrashPoints(t *testing.T) {
	t.Parallel()
	built := build(t, "-tags=crash")
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			w := newWalk(t, copied(t, built), db.env(t))
			for i, s := range walked {
				if i > 0 && i%6 == 0 {
					w.again(t) // What dies again and again is started later and later.
				}
				t.Logf("%s", s.at)
				s.walk(t, w)
				for _, stream := range w.streams {
					stream.more(t, 3)
				}
			}
			w.end(t)
		})
	}
}

func newWalk(t *testing.T, bin string, env []string) *walk {
	t.Helper()
	p := newPlatform(t, append(slices.Clone(env), "TENON_CELL_IDLE=1s")...)
	p.bin = bin
	w := &walk{doomed: newDoomed(t, p), env: env, shops: map[ledger.Mode]*shop{}, streams: map[ledger.Mode]*stream{}, seen: map[int]string{}}
	p.start(t)
	for _, mode := range kinds {
		flows := shaken()
		flows["long"] = billing(waiting(time.Hour))
		w.shops[mode] = newShop(t, p, mode, flows)
		w.watch(t, "tenon-cell", w.shops[mode].org)
	}
	w.again(t) // For the cells' processes to find their orders.
	for mode, s := range w.shops {
		w.streams[mode] = s.stream(t, 1, 600*time.Millisecond, "now", "pair", "later")
	}
	return w
}

// again kills everything, and starts it again.
func (w *walk) again(t *testing.T) {
	t.Helper()
	maps.Copy(w.seen, w.p.processes(t))
	w.p.kill()
	w.p.gone(t, w.seen)
	w.p.start(t)
}

// cells are the cells of the kinds, as they are called in orders.
func (w *walk) cells(modes ...ledger.Mode) []string {
	var out []string
	for _, mode := range modes {
		out = append(out, w.shops[mode].org)
	}
	return out
}

// kill kills all processes of the name.
func (w *walk) kill(t *testing.T, name string) {
	t.Helper()
	for pid, n := range w.p.processes(t) {
		w.seen[pid] = n
		if n == name {
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		}
	}
}

// rests keeps orders back while something is done.
func (w *walk) rests(do func()) {
	for _, st := range w.streams {
		st.gate.Lock()
		defer st.gate.Unlock()
	}
	do()
}

// cancel has a run of each shop wait, and cancels it once lead has armed what is
// to go wrong meanwhile.
func (w *walk) cancel(t *testing.T, lead func(cancel func())) {
	t.Helper()
	waits := map[ledger.Mode]string{}
	for mode, s := range w.shops {
		order := fmt.Sprintf("long-%d", w.serial)
		var event string
		eventually(t, 90*time.Second, "the event is accepted", func() bool {
			var status int
			status, event = s.order(t, "long", order)
			return status == 202
		})
		w.streams[mode].note(event, order)
		eventually(t, 90*time.Second, "the run waits", func() bool {
			for _, r := range s.runs(t) {
				if r.Event == event && r.State == "waiting" {
					waits[mode] = r.ID
				}
			}
			return waits[mode] != ""
		})
	}
	lead(func() {
		for mode, run := range waits {
			s := w.shops[mode]
			eventually(t, 90*time.Second, "the run is canceled", func() bool {
				// As somebody does who got no answer.
				if status, text, err := w.p.call(t, s.key, "prod", http.MethodPost, "/v1/runs/"+run+"/cancel", map[string]any{}); err == nil {
					require.Contains(t, []int{202, 409, 429, 503}, status, "%s", text)
				}
				_, text, err := w.p.call(t, s.key, "prod", http.MethodGet, "/v1/runs/"+run, nil)
				return err == nil && bytes.Contains(text, []byte(`"state":"canceled"`))
			})
		}
	})
}

// end waits for the last runs, and accounts for all.
func (w *walk) end(t *testing.T) {
	t.Helper()
	for _, stream := range w.streams {
		stream.end()
	}
	for mode, s := range w.shops {
		orders := w.streams[mode].end()
		// A bill that is not there proves itself absent after minutes.
		s.settles(t, 5*time.Minute, len(orders))
		t.Logf("%s: %d orders, %v", mode, len(orders), s.account(t, w.streams[mode]))
	}
	maps.Copy(w.seen, w.p.processes(t))
	w.p.sound(t)
	w.p.stop(t)
	w.p.gone(t, w.seen)
	for _, s := range w.shops {
		s.verifyAudit(t, w.env)
	}
}

// TestShippedProgramsHaveNoCrashPoints: what "make build" makes does not know
// the word.
func TestShippedProgramsHaveNoCrashPoints(t *testing.T) {
	t.Parallel()
	built := build(t, "-tags=crash")
	for _, name := range []string{"tenon", "tenon-cell"} {
		for _, program := range []struct {
			path string
			has  bool
		}{{filepath.Join(built, name), true}, {bin(t, name), false}} {
			content, err := os.ReadFile(program.path)
			require.NoError(t, err)
			require.Equal(t, program.has, bytes.Contains(content, []byte(crash.Reached)), program.path)
		}
	}
}
