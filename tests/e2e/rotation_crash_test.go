package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/crash"
)

// rotating are the crash points of rotations.
var rotating = []crash.Point{crash.KeysKept, crash.KeyRetired, crash.KeyUnused}

// TestCrashPointsOfRotations replaces a data key on one kind of database and a
// credential pair on the other, with each process ending with -9 at each step of
// its own: the host where the key store is a step further and the record is not,
// API and cell where a former key is retired, and where all is sealed anew and it
// is not said. In which state a host dies: see TestKilledRotations, on both.
func TestCrashPointsOfRotations(t *testing.T) {
	t.Parallel()
	built := build(t, "-tags=crash")
	kinds := map[string]string{"SQLite": "data", "PostgreSQL": "credential"}
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			env, kind := db.env(t), kinds[db.name]
			p := newPlatform(t, append(slices.Clone(env), "TENON_CELL_IDLE=0")...)
			p.bin = copied(t, built)
			d := newDoomed(t, p)
			p.start(t)
			s := newShop(t, p, ledger.Keys, map[string]string{"now": billing("")})
			d.watch(t, "tenon-cell", s.org)
			s.accepted(t, "now", "before")
			s.reach(t, 30*time.Second, "completed", 1)
			s.told(t) // The rotation has to wait for its history.
			seen := p.processes(t)
			p.kill() // For the cell's process to find its orders.
			p.gone(t, seen)
			p.start(t)

			becomes := func(what string, ok func(state, waits string) bool) {
				eventually(t, 2*time.Minute, "the rotation is "+what, func() bool {
					v, known := s.keysView(t)
					return known && len(v.Rotations) == 1 && v.Broken == 0 && ok(v.Rotations[0].State, v.Rotations[0].WaitsFor)
				})
			}
			reaches := func(state string) { becomes(state, func(is, _ string) bool { return is == state }) }
			d.dies(t, crash.KeysKept, 1, []string{"host"}, func() { s.cellKeys(t, "rotate", kind) })
			reaches("prepared")
			d.dies(t, crash.KeysKept, 1, []string{"host"}, func() {})
			reaches("switched")
			d.dies(t, crash.KeyRetired, 1, []string{"api", s.org}, func() {})
			d.dies(t, crash.KeyUnused, 1, []string{"api", s.org}, func() {})
			if kind == "credential" {
				d.dies(t, crash.KeysKept, 1, []string{"host"}, func() {})
				reaches("done")
			} else { // Its last step waits for a day.
				becomes("all but done", func(_, waits string) bool { return strings.Contains(waits, "histories") })
			}
			s.accepted(t, "now", "after")
			s.reach(t, 30*time.Second, "completed", 2)
			s.bills(t, "before", "after")
			p.sound(t)
			p.stop(t)
			s.verifyAudit(t, env)
		})
	}
}
