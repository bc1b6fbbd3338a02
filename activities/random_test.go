package activities

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// TestRandomOwners lets several processes ask for the same steps at once, as
// local and as regular activities, under owners old and new, while the run
// changes hands and the other system fails in every way. However they
// interleave: no bill is made twice, none is lost of a run that completes, and
// a run that cannot know stops (invariant 7).
func TestRandomOwners(t *testing.T) {
	t.Parallel()
	for _, mode := range []ledger.Mode{ledger.Keys, ledger.Lookup, ledger.None} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			each(t, mode, func(r *rig) {
				for seed := range uint64(6) {
					play(r, mode, seed)
				}
				_, err := r.cell.Work().VerifyAudit(r.Context())
				require.NoError(r, err)
			})
		})
	}
}

const twoBills = `
do:
  - bill:
      call: http
      with:
        method: post
        endpoint: { uri: /bills, authentication: { use: books } }
        body: { order: '${ .order }', supplier: sup-100, currency: EUR, lines: [{ sku: A, description: b, quantity: 1, unit_price_cents: 1 }] }
      output: { as: '${ $input }' }
  - more: { set: { order: '${ .order + "-2" }' } }
  - bill2:
      call: http
      with:
        method: post
        endpoint: { uri: /bills, authentication: { use: books } }
        body: { order: '${ .order }', supplier: sup-100, currency: EUR, lines: [{ sku: A, description: b, quantity: 1, unit_price_cents: 1 }] }
`

// walk goes through the flow as far as it gets, asking for each step in a
// random way.
func walk(p *process, n *run, rng *rand.Rand) (last task.StepResult, ok bool) {
	for i, pointer := range []string{"/do/0/bill", "/do/1/more", "/do/2/bill2"} {
		req := n.plain(pointer, task.PhaseWhole, last.Output)
		if i != 1 {
			req.Effect = pointer
		}
		res, err := p.ask(req, rng.IntN(2) == 0)
		if err != nil || res.Slow || res.Stopped || res.Fault != nil {
			return res, false
		}
		last = res
	}
	return last, true
}

func play(r *rig, mode ledger.Mode, seed uint64) {
	r.Helper()
	before := r.book.Stats().Bills
	rng := rand.New(rand.NewPCG(seed, uint64(len(mode))))
	order := fmt.Sprintf("O-%s-%d", schema.NewID(schema.PrefixRequest), seed)
	n := r.start(r.deploy(twoBills), `{"order":"`+order+`"}`)
	processes := []*process{r.process(), r.process(), r.process()}
	var mu sync.Mutex
	owners := []*run{n}
	var wg sync.WaitGroup
	for i := range 4 {
		local := rand.New(rand.NewPCG(seed, uint64(100+i)))
		wg.Go(func() {
			for range 4 {
				mu.Lock()
				owner, p := owners[local.IntN(len(owners))], processes[local.IntN(len(processes))]
				mu.Unlock()
				_, _ = walk(p, owner, local)
			}
		})
	}
	for range 3 {
		faults := []ledger.Control{
			{Count: 1, Drop: true},
			{Count: 1, Drop: true, When: ledger.After},
			{Count: 1, Fail: 500, When: ledger.After},
			{Count: 1, Fail: 429},
			{Count: 1, StallMS: 50},
			{Count: 1, StallMS: 50, When: ledger.After, Drop: true},
			{},
		}
		if err := r.book.Control(faults[rng.IntN(len(faults))]); err != nil {
			r.Error(err)
		}
		if rng.IntN(3) > 0 {
			next, err := r.cell.Work().TakeRuns(r.Context(), schema.NewID(schema.PrefixCarrier), []string{n.ID}, []string{store.RunPending, store.RunRunning})
			if err != nil {
				r.Error(err)
			}
			if len(next) == 1 {
				mu.Lock()
				owners = append(owners, &run{Run: next[0], rig: r, event: n.event, doc: n.doc})
				mu.Unlock()
			}
		}
		pause := time.NewTimer(time.Duration(rng.IntN(40)) * time.Millisecond)
		<-pause.C
	}
	wg.Wait()
	require.NoError(r, r.book.Control(ledger.Control{}))

	// Whoever owns it now goes on, in a new process, until it ends.
	if n.row().State != store.RunUncertain {
		n = n.taken()
		p := r.process()
		for i := range 60 {
			last, ok := walk(p, n, rng)
			if last.Stopped {
				break
			}
			if ok {
				require.NoError(r, p.Finish(r.Context(), task.FinishRequest{Owner: n.owner(), Key: ":finish", Output: last.Output}))
				break
			}
			if last.Fault != nil { // Answered for good by a step before: the flow ends with it.
				require.NoError(r, p.Finish(r.Context(), task.FinishRequest{Owner: n.owner(), Key: ":finish", Fault: last.Fault}))
				break
			}
			p.ahead(time.Duration(i) * settleTime / 30)
		}
	}
	state, made := n.row().State, r.book.Stats().Bills-before
	require.Zero(r, r.book.Stats().Duplicates, "seed %d: a bill was made twice", seed)
	switch state {
	case store.RunCompleted:
		require.Equal(r, 2, made, "seed %d: a completed run has both bills", seed)
	case store.RunFailed, store.RunUncertain:
		require.LessOrEqual(r, made, 2, "seed %d", seed)
	default:
		r.Fatalf("seed %d: the run is %s", seed, state)
	}
}
