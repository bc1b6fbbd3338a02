package activities

import (
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// TestAhead: a run that began ahead of its carrier does everything once, wherever
// the carrier's own request meets it: in its first call, in its second, or when it
// is over (invariant 7).
func TestAhead(t *testing.T) {
	for _, meeting := range []int{1, 2, 3} {
		t.Run(strconv.Itoa(meeting), func(t *testing.T) {
			each(t, ledger.None, func(r *rig) {
				n, p := r.start(r.deploy(billsInRow), `{"order":"O-1"}`), r.process()
				require.NoError(r, p.Prime(n.Run, n.event))
				at, on := make(chan struct{}), make(chan struct{})
				calls := 0
				p.plug.before = func() {
					if calls++; calls == meeting {
						close(at)
						<-on
					}
				}
				var wg sync.WaitGroup
				wg.Go(func() {
					p.Ahead(r.Context(), n.Carrier, n.ref())
					if meeting == 3 {
						close(at)
					}
				})
				<-at
				wg.Go(func() {
					res, err := p.unrecalled(n.inRow(), true)
					require.NoError(r, err)
					require.Nil(r, res.Fault)
					require.True(r, res.Finished || res.Stopped)
				})
				close(on)
				wg.Wait()
				require.Equal(r, store.RunCompleted, n.row().State)
				require.EqualValues(r, 2, r.book.Stats().Creations)
				require.Len(r, n.effects(), 2)
				require.Empty(r, p.runs)
			})
		})
	}
}

// TestAheadOfAnotherOwner: a run that was taken over meanwhile is left to its new
// owner.
func TestAheadOfAnotherOwner(t *testing.T) {
	each(t, ledger.None, func(r *rig) {
		n, p := r.start(r.deploy(billsInRow), `{"order":"O-1"}`), r.process()
		require.NoError(r, p.Prime(n.Run, n.event))
		carrier, ref := n.Carrier, n.ref()
		n.taken()
		p.Ahead(r.Context(), carrier, ref)
		require.Zero(r, r.book.Stats().Creations)
		require.Equal(r, store.RunPending, n.row().State)
		require.Empty(r, n.effects())
	})
}

// TestAheadPanics: what goes wrong ahead of a carrier ends no cell (invariant 9).
func TestAheadPanics(t *testing.T) {
	each(t, ledger.None, func(r *rig) {
		n, p := r.start(r.deploy(billsInRow), `{"order":"O-1"}`), r.process()
		p.plans.Store(n.Digest, &plan{}) // A document that nothing can be read of.
		require.NotPanics(r, func() { p.Ahead(r.Context(), n.Carrier, n.ref()) })
		require.Equal(r, store.RunPending, n.row().State)
	})
}

// ref is the run as its carrier is told of it.
func (n *run) ref() task.RunRef {
	return task.RunRef{Run: n.ID, Digest: n.Digest, Epoch: n.Epoch}
}
