package worker

import (
	"context"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

// fillFor is for how long a carrier takes more runs before the engine is told of it.
const fillFor = 60 * time.Millisecond

// filling is a carrier that new runs join: the engine is told of it when it is full,
// when one of its runs needs it or nothing is under way, or after fillFor. What a carrier
// costs, in work and room of the engine, is divided by its runs; they do not wait for it,
// since they are worked on before.
type filling struct {
	carrier
	working *working
	// over tells that fillFor has passed.
	over *time.Timer
}

// full is when the carrier that is being filled has been for fillFor; never, without one.
func (r *relay) full() <-chan time.Time {
	if r.filling == nil {
		return nil
	}
	return r.filling.over.C
}

// fill leaves the carrier open for more runs, unless it can take none, or is needed for what
// is not done before it asks. One that was open takes no more.
func (r *relay) fill(ctx context.Context, c begun) bool {
	if !c.ends || len(c.members) >= carrierSize || !joins(c.members[0]) {
		return false
	}
	r.close(ctx)
	c.open = true
	r.filling = &filling{carrier: c.carrier, working: c.working, over: time.NewTimer(fillFor)}
	r.keep(c.carrier)
	return true
}

// wanted tells whether the carrier that is being filled is not to be left open any longer.
func (r *relay) wanted() bool {
	return r.filling != nil && (r.filling.working.left.Load() || r.openCount() == 0)
}

// joins tells whether a run may be carried with others. One with an order key is alone:
// a run that is held must not seem to be with a carrier that works on others.
func joins(run store.Run) bool { return run.Straight && run.OrderKey == "" }

// assign gives carriers to new runs: first what is left of the one that is being filled.
func (r *relay) assign(runs []store.Run) {
	left := 0
	if r.filling != nil {
		left = carrierSize - len(r.filling.members)
	}
	var rest []store.Run
	var at []int
	for i, run := range runs {
		run.Straight = joins(run)
		if run.Straight && left > 0 {
			runs[i].Carrier = r.filling.id
			left--
			continue
		}
		rest, at = append(rest, run), append(at, i)
	}
	for _, members := range groups(rest) {
		id := schema.NewID(schema.PrefixCarrier)
		for _, i := range members {
			runs[at[i]].Carrier = id
		}
	}
}

// close has the engine told of the carrier that was being filled.
func (r *relay) close(ctx context.Context) {
	if c := r.filling; c != nil {
		r.filling = nil
		c.over.Stop()
		c.open = false
		r.announce(ctx, c.carrier, c.working)
	}
}
