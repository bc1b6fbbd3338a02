package activities

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

const (
	addFlow = "\ndo:\n  - add: { set: { n: '${ .n + 1 }' } }\n"
	addTask = "/do/0/add"
)

// toTheEnd asks for the whole document, which is one task.
func (n *run) toTheEnd() task.StepRequest {
	q := n.whole(addTask)
	q.Finishes = true
	return q
}

func (p *process) primes(runs ...*run) {
	for _, n := range runs {
		require.NoError(p.rig, p.Prime(n.Run, n.event, nil))
	}
}

// TestStretchesWaitForNone: of runs that are asked for together, one that fails is
// told of while the call of another is held, and one that ends has ended; who asks
// for the held one by itself joins it.
func TestStretchesWaitForNone(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		p, bills, adds := r.process(), r.deploy(billsInRow), r.deploy(addFlow)
		held, failing, ending := r.start(bills, `{"order":"O-1"}`), r.start(adds, `{"n":"none"}`), r.start(adds, `{"n":1}`)
		p.primes(held, failing, ending)
		at, on := p.holds(1)
		res, err := p.Stretches(r.Context(), task.StretchesRequest{
			Steps: []task.StepRequest{held.inRow(), failing.toTheEnd(), ending.toTheEnd()},
		})
		require.NoError(r, err)
		require.Nil(r, res.Answers[0])
		require.NotNil(r, res.Answers[1].Fault)
		require.False(r, res.Answers[1].Over())
		r.eventually("the other ends", func() bool { return ending.row().State == store.RunCompleted })
		require.Equal(r, store.RunPending, failing.row().State, "its carrier says how it goes on")

		<-at
		var joined task.StepResult
		var carrier sync.WaitGroup
		carrier.Go(func() { joined, _ = p.local(held.inRow()) })
		close(on)
		carrier.Wait()
		require.True(r, joined.Finished)
		require.Equal(r, store.RunCompleted, held.row().State)
		require.EqualValues(r, 2, r.book.Stats().Creations)
	})
}

// TestStretchesTogether: runs that one stretch takes to their ends are over with one
// answer; what cannot be performed is no answer, and fails none of them.
func TestStretchesTogether(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		p, adds := r.process(), r.deploy(addFlow)
		first, second, lost := r.start(adds, `{"n":1}`), r.start(adds, `{"n":2}`), r.start(adds, `{"n":3}`)
		p.primes(first, second, lost)
		odd := lost.toTheEnd()
		odd.Phase = "none"
		res, err := p.Stretches(r.Context(), task.StretchesRequest{Steps: []task.StepRequest{first.toTheEnd(), odd, second.toTheEnd()}})
		require.NoError(r, err)
		require.Nil(r, res.Answers[1])
		for _, n := range []*run{first, second} {
			r.eventually("it ends", func() bool { return n.row().State == store.RunCompleted })
		}
		require.JSONEq(r, `{"n":3}`, string(second.result().Output))
	})
}
