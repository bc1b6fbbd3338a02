package activities

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/store"
)

// TestAPausedFlowBeginsNothing: a run of a paused flow stops before its next
// call, also when the connector is at work on it already; nothing is recorded
// of an effect that did not begin, and the run goes on when the flow does.
func TestAPausedFlowBeginsNothing(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		doc := r.deploy(billFlow)
		n, p := r.start(doc, `{"order":"O-1"}`), r.process()
		set := func(state string) {
			require.NoError(r, r.api.Door().ChangeFlow(r.Context(), n.Namespace, n.Flow, store.FlowChange{State: state}, draft()))
		}
		stopped := func() {
			_, err := p.step(n.whole(billTask))
			require.ErrorContains(r, err, "is paused", "an error, and no fault of the run")
			require.Empty(r, n.effects())
			require.Zero(r, r.book.Stats().Creations)
			require.False(r, store.Terminal(n.row().State))
		}
		set(store.FlowPaused)
		stopped()
		require.Zero(r, p.plug.calls, "the connector was not asked")

		set(store.FlowActive)
		p.plug.before = func() {
			set(store.FlowPaused)
			p.ahead(time.Second) // What the process believes of the flow is that old.
		}
		stopped()
		require.Equal(r, 1, p.plug.calls)

		p.plug.before = nil
		set(store.FlowActive)
		require.Nil(r, p.done(n.whole(billTask)).Fault)
		require.EqualValues(r, 1, r.book.Stats().Creations)
	})
}
