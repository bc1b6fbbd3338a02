package activities

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// billsInRow makes two bills with a mapping between them.
var billsInRow = billFlow + `
  - between: { set: { order: O-2 } }
` + strings.ReplaceAll(strings.TrimPrefix(billFlow, "\ndo:\n"), "- bill:", "- second:")

const (
	betweenTask = "/do/1/between"
	secondTask  = "/do/2/second"
)

// inRow asks for the whole document at once.
func (n *run) inRow() task.StepRequest {
	q := n.whole(billTask)
	q.Following = []task.Following{
		{Key: betweenTask, Pointer: betweenTask},
		{Key: secondTask, Effect: secondTask, Pointer: secondTask},
	}
	q.Finishes = true
	return q
}

// holds holds the n-th call of the process: at is closed once it is there, and it
// goes on when on is.
func (p *process) holds(n int) (at, on chan struct{}) {
	at, on = make(chan struct{}), make(chan struct{})
	calls := 0
	p.plug.before = func() {
		if calls++; calls == n {
			close(at)
			<-on
		}
	}
	return at, on
}

// TestStretch: tasks in a row are performed, and the run is ended, with one answer.
func TestStretch(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		n, p := r.start(r.deploy(billsInRow), `{"order":"O-1"}`), r.process()
		res, err := p.local(n.inRow())
		require.NoError(r, err)
		require.Len(r, res.Following, 2)
		require.True(r, res.Finished)
		require.Equal(r, store.RunCompleted, n.row().State)
		require.JSONEq(r, `{"number":"B-000002"}`, string(n.result().Output))
		require.EqualValues(r, 2, r.book.Stats().Creations)
		require.Len(r, n.effects(), 2)
		steps, err := r.cell.Work().ListSteps(r.Context(), n.ID)
		require.NoError(r, err)
		require.Len(r, steps, 3)
		require.Empty(r, p.runs)
		require.Empty(r, p.lanes.left, "what is on the disk is kept for no other owner")

		// A carrier that lost the answer is told that the run is over.
		again, err := p.local(n.inRow())
		require.NoError(r, err)
		require.True(r, again.Stopped)
	})
}

// TestStretchKeepsOutcomes: when another call of the stretch begins, what became
// of the effect before is on the disk: a death in the second call leaves no doubt
// about the first (invariant 7), whether the carrier has asked for it or not.
func TestStretchKeepsOutcomes(t *testing.T) {
	t.Parallel()
	t.Run("asked for", func(t *testing.T) { keepsOutcomes(t, (*process).local) })
	t.Run("ahead", func(t *testing.T) {
		keepsOutcomes(t, func(p *process, q task.StepRequest) (task.StepResult, error) {
			_, err := p.Ahead(p.rig.Context(), q)
			return task.StepResult{}, err
		})
	})
}

func keepsOutcomes(t *testing.T, perform func(*process, task.StepRequest) (task.StepResult, error)) {
	each(t, ledger.None, func(r *rig) {
		n, p := r.start(r.deploy(billsInRow), `{"order":"O-1"}`), r.process()
		require.NoError(r, p.Prime(n.Run, n.event, nil))
		at, on := p.holds(2)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = perform(p, n.inRow()) })
		<-at
		effects := n.effects()
		require.Len(r, effects, 1)
		require.Equal(r, store.EffectDone, effects[0].State)

		// Another process takes the run over, and repeats nothing.
		n = n.taken()
		res, err := r.process().local(n.inRow())
		require.NoError(r, err)
		require.True(r, res.Finished)
		close(on)
		wg.Wait()
		require.Equal(r, store.RunCompleted, n.row().State)
		require.EqualValues(r, 2, r.book.Stats().Creations)
	})
}

// TestStretchDoesNotWait: a slow call is left to be asked for by itself; what was
// answered before it is on the disk, and the call goes on.
func TestStretchDoesNotWait(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		n, p := r.start(r.deploy(billsInRow), `{"order":"O-1"}`), r.process()
		calls := 0
		p.plug.before = func() {
			if calls++; calls == 2 {
				require.NoError(r, r.book.Control(ledger.Control{Count: 1, StallMS: 1500}))
			}
		}
		res, err := p.local(n.inRow())
		require.NoError(r, err)
		require.Len(r, res.Following, 1)
		require.False(r, res.Finished)
		steps, err := r.cell.Work().ListSteps(r.Context(), n.ID)
		require.NoError(r, err)
		require.Len(r, steps, 2)

		last := p.done(n.inRow().Next(1, res.Following[0]))
		require.Nil(r, last.Fault)
		require.NoError(r, p.Finish(r.Context(), task.FinishRequest{Owner: n.owner(), Key: task.FinishKey, Output: last.Output}))
		require.EqualValues(r, 2, r.book.Stats().Creations)
		require.Equal(r, store.RunCompleted, n.row().State)
	})
}

// TestStretchStops: a fault ends the stretch and is its last answer.
func TestStretchStops(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		body := strings.Replace(billsInRow, "order: O-2", `order: '${ .number + 1 }'`, 1)
		n, p := r.start(r.deploy(body), `{"order":"O-1"}`), r.process()
		res, err := p.local(n.inRow())
		require.NoError(r, err)
		require.Nil(r, res.Fault)
		require.Len(r, res.Following, 1)
		require.NotNil(r, res.Following[0].Fault)
		require.False(r, res.Finished)
		require.EqualValues(r, 1, r.book.Stats().Creations)
		require.Equal(r, store.EffectDone, n.effects()[0].State)
	})
}

// TestAhead: what is performed before the carrier asks is on the disk, with the run's end,
// and a carrier that asks is told that it is over, without a look into the database; one
// that asks again, too.
func TestAhead(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		n, p := r.start(r.deploy(billsInRow), `{"order":"O-1"}`), r.process()
		require.NoError(r, p.Prime(n.Run, n.event, nil))
		over, err := p.Ahead(r.Context(), n.inRow())
		require.NoError(r, err)
		require.True(r, over)
		require.EqualValues(r, 2, r.book.Stats().Creations)
		require.Equal(r, store.RunCompleted, n.row().State)
		require.JSONEq(r, `{"number":"B-000002"}`, string(n.result().Output))
		for _, ef := range n.effects() {
			require.Equal(r, store.EffectDone, ef.State)
		}
		steps, err := r.cell.Work().ListSteps(r.Context(), n.ID)
		require.NoError(r, err)
		require.Len(r, steps, 3)

		p.forgets = true
		gone, cancel := context.WithCancel(r.Context())
		cancel()
		res, err := p.stretch(gone, n.inRow())
		require.NoError(r, err)
		require.True(r, res.Stopped)
		require.Empty(r, p.over)
		res, err = p.local(n.inRow())
		require.NoError(r, err)
		require.True(r, res.Stopped)
		over, err = p.Ahead(r.Context(), n.inRow()) // Late.
		require.NoError(r, err)
		require.True(r, over)
		require.Empty(r, p.requeued)
		require.EqualValues(r, 2, r.book.Stats().Creations)
	})
}

// TestAheadOfACarrierThatIsWanted: what needs the carrier is said to, and what was done
// before is its answer; runs that ended and whose carriers never ask are not remembered
// for ever.
func TestAheadOfACarrierThatIsWanted(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		p := r.process()
		failing, whole := r.start(r.deploy(addFlow), `{"n":"none"}`), r.start(r.deploy(billsInRow), `{"order":"O-1"}`)
		p.primes(failing, whole)
		over, err := p.Ahead(r.Context(), failing.toTheEnd())
		require.NoError(r, err)
		require.False(r, over)
		require.Equal(r, store.RunPending, failing.row().State, "its carrier says how it goes on")

		open := whole.inRow()
		open.Finishes = false
		over, err = p.Ahead(r.Context(), open)
		require.NoError(r, err)
		require.False(r, over)
		require.Equal(r, store.RunRunning, whole.row().State)
		p.forgets = true
		res, err := p.local(whole.inRow())
		require.NoError(r, err)
		require.True(r, res.Finished)
		require.EqualValues(r, 2, r.book.Stats().Creations)

		for i := range maxOver + 1 {
			p.Executor.ended(task.Owner{Run: strconv.Itoa(i)})
		}
		require.Len(r, p.over, 1)
	})
}

// TestAheadIsJoined: a carrier that asks meanwhile waits for the call that is live,
// and what comes next is its own to ask for.
func TestAheadIsJoined(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		n, p := r.start(r.deploy(billsInRow), `{"order":"O-1"}`), r.process()
		p.forgets = true
		require.NoError(r, p.Prime(n.Run, n.event, nil))
		at, on := p.holds(1)
		var ahead, carrier sync.WaitGroup
		ahead.Go(func() { _, _ = p.Ahead(r.Context(), n.inRow()) })
		<-at
		var res task.StepResult
		carrier.Go(func() { res, _ = p.local(n.inRow()) })
		r.eventually("the carrier asks", func() bool { return p.asked(n.ID) })
		close(on)
		carrier.Wait()
		ahead.Wait()
		require.Len(r, res.Following, 2)
		require.True(r, res.Finished)
		require.EqualValues(r, 2, r.book.Stats().Creations)
		require.Equal(r, store.RunCompleted, n.row().State)
	})
}

// TestAheadOfAnotherCarrier: nothing is performed in the name of a carrier that does
// not own the run any more.
func TestAheadOfAnotherCarrier(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		n, p := r.start(r.deploy(billsInRow), `{"order":"O-1"}`), r.process()
		require.NoError(r, p.Prime(n.Run, n.event, nil))
		n.taken()
		over, err := p.Ahead(r.Context(), n.inRow())
		require.NoError(r, err)
		require.True(r, over)
		require.Zero(r, r.book.Stats().Creations)
		require.Empty(r, n.effects())
	})
}
