package activities

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// left is what is left of a wait for who takes its run up, by a clock that is so much
// ahead of the test's.
func (n *run) left(p *process, ahead time.Duration) time.Duration {
	p.rig.Helper()
	p.ahead(ahead)
	page, err := p.Recall(p.rig.Context(), task.RecallRequest{Owner: n.owner()})
	require.NoError(p.rig, err)
	require.Len(p.rig, page.Steps, 1)
	return page.Steps[0].Result.Wait
}

// TestAWaitBegunByAWrongClock: the clock is right again when the run is taken up, or
// while its wait is written, after any of its readings. What is left of the wait is no
// longer than it was to be; it is over once the process that sees it knows that the run
// has waited, and for no other wait of the run.
func TestAWaitBegunByAWrongClock(t *testing.T) {
	t.Parallel()
	const ahead, long = 32 * time.Minute, 10 * time.Minute
	each(t, ledger.None, func(r *rig) {
		doc := r.deploy("\ndo:\n  - pause: { wait: PT10M }\n  - again: { wait: PT10M }\n")
		for right := range 8 { // right is the first reading of a clock that is right; 0 for none.
			n, p := r.start(doc, `{}`), r.process()
			readings := 0
			p.now = func() time.Time {
				if readings++; readings > right && right > 0 {
					return time.Now().UTC()
				}
				return time.Now().UTC().Add(ahead)
			}
			require.Equal(r, long, p.done(n.plain("/do/0/pause", task.PhaseEnter, "")).Wait)
			row := n.row()
			require.Equal(r, store.RunWaiting, row.State)
			require.Equal(r, long, row.WaitsFor)
			require.WithinRange(r, *row.DueAt, time.Now().Add(long-patience), time.Now().Add(ahead+long))

			n = n.taken()
			require.InDelta(r, long, n.left(r.process(), 0), float64(patience))
			second := r.process()
			second.Waited(n.ID, row.DueAt.Add(-time.Hour))
			require.InDelta(r, long, n.left(second, 0), float64(patience), "that was another wait")
			second.Leave(n.ID)
			second.Waited(n.ID, *row.DueAt)
			require.Zero(r, n.left(second, 0))
			require.Zero(r, n.left(r.process(), ahead+long), "by the clock that was wrong")
			require.Equal(r, long, second.done(n.plain("/do/1/again", task.PhaseEnter, "")).Wait)
			require.NotEqual(r, row.DueAt, n.row().DueAt)
			second.Leave(n.ID)
			second.ahead(0)
			require.InDelta(r, long, second.done(n.plain("/do/1/again", task.PhaseEnter, "")).Wait, float64(patience))
		}
	})
}

// TestAClockThatIsBehindEndsNoWait: one that goes back for a while, and forth again, makes
// no wait of before shorter.
func TestAClockThatIsBehindEndsNoWait(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		n, p := r.start(r.deploy("\ndo:\n  - pause: { wait: PT10M }\n"), `{}`), r.process()
		require.Equal(r, 10*time.Minute, p.done(n.plain("/do/0/pause", task.PhaseEnter, "")).Wait)
		n = n.taken()
		require.Equal(r, 10*time.Minute, n.left(r.process(), -3*time.Hour))
		n = n.taken()
		require.InDelta(r, 10*time.Minute, n.left(r.process(), 0), float64(patience))
	})
}

// TestTimeoutsOfAClockThatWasAhead: of a timeout that a clock which was ahead has set, no
// more is left than it allows, and the wait within it is what the run waits for.
func TestTimeoutsOfAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		n, p := r.start(r.deploy("\ntimeout: { after: PT5M }\ndo:\n  - pause: { wait: PT1M }\n"), `{}`), r.process()
		p.ahead(-time.Hour)
		short := n.plain("/do/0/pause", task.PhaseTimeout, "")
		short.Limit = 2 * time.Minute
		require.Equal(r, short.Limit, p.done(short).Wait)
		p.ahead(time.Hour)
		req := n.plain("", task.PhaseTimeout, "")
		req.Limit = 5 * time.Minute
		require.Equal(r, req.Limit, p.done(req).Wait)
		require.Equal(r, time.Minute, p.done(n.plain("/do/0/pause", task.PhaseEnter, "")).Wait)
		require.Equal(r, time.Minute, n.row().WaitsFor)
		n = n.taken()
		second := r.process()
		second.Waited(n.ID, *n.row().DueAt)
		page, err := second.Recall(r.Context(), task.RecallRequest{Owner: n.owner()})
		require.NoError(r, err)
		require.Len(r, page.Steps, 3)
		for _, s := range page.Steps {
			switch s.Key {
			case req.Key:
				require.Equal(r, req.Limit, s.Result.Wait)
			default:
				require.Zero(r, s.Result.Wait, s.Key)
			}
		}
	})
}

// TestWaitsThatAreOver: of what a clock that was ahead has begun, a run that is taken up
// again waits for nothing that it has waited for: another wait is its row's, or none. Of
// timeouts that are not in force nothing is waited for.
func TestWaitsThatAreOver(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		n, p := r.start(r.deploy("\ndo:\n  - first: { wait: PT10S }\n  - second: { wait: PT10M }\n  - set: { set: { a: 1 } }\n"), `{}`), r.process()
		p.ahead(72 * time.Hour)
		bound := n.plain("/do/0/first", task.PhaseTimeout, "")
		bound.Limit = time.Minute
		p.done(bound)
		require.Equal(r, 10*time.Second, p.done(n.plain("/do/0/first", task.PhaseEnter, "")).Wait)
		require.Equal(r, 10*time.Second, n.row().WaitsFor)
		p.ahead(0)
		second := n.plain("/do/1/second", task.PhaseEnter, "")
		require.Equal(r, 10*time.Minute, p.done(second).Wait)
		require.Equal(r, 10*time.Minute, n.row().WaitsFor, "the first is over, and its timeout")
		require.WithinRange(r, *n.row().DueAt, time.Now().Add(9*time.Minute), time.Now().Add(10*time.Minute))
		waits := func() map[string]time.Duration {
			n = n.taken()
			page, err := r.process().Recall(r.Context(), task.RecallRequest{Owner: n.owner()})
			require.NoError(r, err)
			out := map[string]time.Duration{}
			for _, s := range page.Steps {
				out[s.Key] = s.Result.Wait.Round(time.Minute)
			}
			return out
		}
		first := n.plain("/do/0/first", task.PhaseEnter, "")
		require.Equal(r, map[string]time.Duration{bound.Key: time.Minute, first.Key: 0, second.Key: 10 * time.Minute}, waits())

		p = r.process()
		p.done(n.plain("/do/2/set", task.PhaseWhole, ""))
		require.Equal(r, store.RunRunning, n.row().State)
		require.Zero(r, waits()[first.Key])
	})
}

// TestAWaitThatWasHardToWrite: when the transaction that is to say that a run waits
// fails, the next one that has the step says so.
func TestAWaitThatWasHardToWrite(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		n, p := r.start(r.deploy("\ndo:\n  - pause: { wait: PT10M }\n  - set: { set: { a: 1 } }\n"), `{}`), r.process()
		enter := n.plain("/do/0/pause", task.PhaseEnter, "")
		st, err := p.state(r.Context(), n.owner(), true)
		require.NoError(r, err)
		gone, cancel := context.WithCancel(r.Context())
		cancel()
		_, err = p.execute(r.Context(), st, enter, func() bool { return false })
		require.NoError(r, err)
		require.Equal(r, store.RunPending, n.row().State, "nothing is written yet")
		require.Error(r, p.commit(gone, st, store.RunCommit{}))
		require.InDelta(r, 10*time.Minute, p.done(enter).Wait, float64(patience))
		require.Equal(r, store.RunWaiting, n.row().State)
		require.Equal(r, 10*time.Minute, n.row().WaitsFor)
		p.done(n.plain("/do/1/set", task.PhaseWhole, ""))
		require.Equal(r, store.RunRunning, n.row().State)
	})
}

// TestAStepThatWasLeftBehind: a timeout has left a call, and the run waits for its
// next attempt. What the call comes to then does not have the row say that the run is worked on,
// nor does a transaction that finds all written.
func TestAStepThatWasLeftBehind(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		doc := r.deploy(billFlow + "  - pause: { wait: PT10M }\n  - set: { set: { a: 1 } }\n")
		n, p := r.start(doc, `{"order":"O-1"}`), r.process()
		require.NoError(r, r.book.Control(ledger.Control{Count: 1, StallMS: 2000, When: ledger.Before}))
		release := stalled(r, p, n)
		enter := n.plain("/do/1/pause", task.PhaseEnter, "")
		require.Equal(r, 10*time.Minute, p.done(enter).Wait)
		st, err := p.state(r.Context(), n.owner(), false)
		require.NoError(r, err)
		require.NoError(r, p.commit(r.Context(), st, store.RunCommit{}))
		require.Equal(r, store.RunWaiting, n.row().State)
		due := n.row().DueAt
		release()
		require.Equal(r, store.EffectDone, n.effects()[0].State)
		require.Contains(r, n.records(), billTask)
		require.NoError(r, p.commit(r.Context(), st, store.RunCommit{}))
		require.Equal(r, store.RunWaiting, n.row().State)
		require.Equal(r, due, n.row().DueAt)
		require.Equal(r, 10*time.Minute, n.row().WaitsFor)
		p.done(n.plain("/do/2/set", task.PhaseWhole, ""))
		require.Equal(r, store.RunRunning, n.row().State)
	})
}

// TestTimeoutsInForce reads keys of steps as package workflows makes them.
func TestTimeoutsInForce(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		timeout, key string
		bounds       bool
	}{
		{":timeout", "/do/0/a:enter", true},
		{":enter", "/do/0/a:enter", false},
		{"/do/0/a:timeout", "/do/0/a:enter", true},
		{"/do/0/a:timeout", "/do/0/a/do/1/b:enter", true},
		{"/do/0/a:timeout", "/do/0/a[3]/do/1/b:enter", true},
		{"/do/0/a:timeout", "/do/0/a~2/try/1/b:enter", true},
		{"/do/0/a:timeout", "/do/0/a#2/do/1/b:enter", false},
		{"/do/0/a:timeout", "/do/1/b:enter", false},
		{"/do/0/a[0]/do/0/b:timeout", "/do/0/a[1]/do/0/b:enter", false},
		{"/do/0/a:attempt", "/do/0/a/try/0/b:enter", true},
		{"/do/0/a:attempt", "/do/0/a~1/try/0/b:enter", false},
		{"/do/0/a~1:attempt", "/do/0/a~1/try/0/b:enter", true},
		{"/do/0/a:attempt", "/do/0/a:catch", false},
		{"/do/0/a:attempt", "/do/0/a/catch/do/0/b:enter", false},
		{"/do/0/a:enter", "/do/0/a/do/0/b:enter", false},
	} {
		require.Equal(t, test.bounds, bounds(test.timeout, test.key), "%s at %s", test.timeout, test.key)
	}
}
