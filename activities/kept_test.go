package activities

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/store"
)

const lookThenBill = `
do:
  - look:
      call: http
      with: { method: get, endpoint: { uri: /suppliers, authentication: { use: books } } }
      output: { as: '${ $input }' }
  - bill:
      call: http
      with:
        method: post
        endpoint: { uri: /bills, authentication: { use: books } }
        body: { order: '${ $workflow.input.order }', supplier: sup-100, currency: EUR, lines: [{ sku: A, description: b, quantity: 1, unit_price_cents: 1 }] }
`

// TestARunThatIsNotKept: of a run whose row is still being committed no request
// leaves and nothing is written, a look that changes nothing included; once it is
// committed its first stretch goes on, and when it could not be it never does.
func TestARunThatIsNotKept(t *testing.T) {
	t.Parallel()
	for name, committed := range map[string]bool{"kept": true, "abandoned": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, ledger.Keys, func(r *rig) {
				for _, pointer := range []string{"/do/0/look", "/do/1/bill"} {
					before := r.book.Stats()
					n, p := r.start(r.deploy(lookThenBill), `{"order":"`+name+pointer+`"}`), r.process()
					kept, calls := make(chan struct{}), make(chan struct{})
					require.NoError(r, p.Prime(n.Run, n.event, kept))
					p.plug.before = sync.OnceFunc(func() { close(calls) })
					var ahead sync.WaitGroup
					ahead.Go(func() {
						if _, err := p.Ahead(r.Context(), n.whole(pointer)); err != nil {
							r.Error(err)
						}
					})
					<-calls // From here on nothing but the row holds the request up.
					if !committed {
						p.Abandon(n.ID)
					}
					close(kept)
					ahead.Wait()
					after := r.book.Stats()
					asked := after.Suppliers + after.Creations - before.Suppliers - before.Creations
					steps, err := r.cell.Work().ListSteps(r.Context(), n.ID)
					require.NoError(r, err)
					if committed {
						require.EqualValues(r, 1, asked)
						require.Len(r, steps, 1)
						continue
					}
					require.Zero(r, asked)
					require.Empty(r, steps)
					require.Empty(r, n.effects())
					require.Equal(r, store.RunPending, n.row().State)
				}
			})
		})
	}
}
