package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

// cellProcesses are the processes of cells among those below a root.
func (p *platform) cellProcesses(t *testing.T, root int) []string {
	t.Helper()
	var out []string
	for _, name := range p.below(t, root) {
		switch {
		case name == "tenon-cell", name == "tenon-launcher", name == "tenon-eval", strings.HasPrefix(name, "tenon-connector"):
			out = append(out, name)
		}
	}
	return out
}

func (p *platform) sleeps(t *testing.T) {
	t.Helper()
	eventually(t, 30*time.Second, "the cell sleeps", func() bool { return len(p.cellProcesses(t, p.cmd.Process.Pid)) == 0 })
}

// TestACellSleepsAndWakes leaves a cell alone until no process of it is left,
// though three of its runs wait. It wakes by itself when the first of them is due, be
// it after a wait or before a retry, and by an event and a command whose bells nobody hears.
func TestACellSleepsAndWakes(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, append(db.env(t), "TENON_CELL_IDLE=1s")...)
			p.start(t)
			const wait = 20 * time.Second
			s := newShop(t, p, ledger.Keys, map[string]string{
				"now": billing(""), "later": billing(waiting(wait)), "long": billing(waiting(time.Hour)), "again": retried(wait),
			})
			p.sleeps(t) // There was nothing to do yet.
			require.NoError(t, s.books.Control(ledger.Control{Count: 1, Fail: 500, When: ledger.Before}))
			s.accepted(t, "again", "retried")
			s.reach(t, 20*time.Second, "waiting", 1)
			s.accepted(t, "now", "first")
			s.accepted(t, "long", "never")
			s.accepted(t, "later", "due")
			asked := time.Now()
			s.reach(t, 20*time.Second, "waiting", 3)
			s.reach(t, 20*time.Second, "completed", 1)
			p.sleeps(t)
			require.Less(t, time.Since(asked), wait, "it slept before the wait was over")
			s.reach(t, 2*wait, "completed", 3)
			require.Greater(t, time.Since(asked), wait)
			s.bills(t, "first", "due", "retried")

			p.sleeps(t)
			require.NoError(t, os.Remove(filepath.Join(p.data, "run", "bell.sock")))
			lost := time.Now()
			s.accepted(t, "now", "unheard")
			s.reach(t, 20*time.Second, "completed", 4)
			t.Logf("found after %s", time.Since(lost))
			p.sleeps(t)
			for _, r := range s.runs(t) {
				if r.State == "waiting" {
					s.must(t, http.MethodPost, "/v1/runs/"+r.ID+"/cancel", 202, map[string]any{}, nil)
				}
			}
			s.reach(t, 20*time.Second, "canceled", 1)
			s.bills(t, "first", "due", "retried", "unheard")
			require.NotContains(t, p.logs(), "panic")
		})
	}
}

// TestACellWakesForItsSchedule leaves a cell asleep, without a process, until its
// schedule is due, again and again, or its flow is called.
func TestACellWakesForItsSchedule(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, append(db.env(t), "TENON_CELL_IDLE=1s")...)
			p.start(t)
			s := newShop(t, p, ledger.Keys, map[string]string{"now": billing("")})
			p.sleeps(t)
			s.must(t, http.MethodPost, "/v1/schedules", 201, map[string]any{
				"name": "often", "flow": "now", "every": 10, "input": map[string]any{"id": "timed"},
			}, nil)
			s.reach(t, 30*time.Second, "completed", 1)
			p.sleeps(t)
			s.reach(t, 30*time.Second, "completed", 2)
			p.sleeps(t)
			s.must(t, http.MethodPost, "/v1/flows/now/runs", 202, map[string]any{"input": map[string]any{"id": "called"}}, nil)
			eventually(t, 20*time.Second, "the call is heard", func() bool {
				return slices.ContainsFunc(s.books.Bills(), func(b ledger.Bill) bool { return b.Order == "called" })
			})
		})
	}
}
