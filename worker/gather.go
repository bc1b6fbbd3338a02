package worker

import (
	"context"
	"slices"
	"time"

	"github.com/tenonhq/tenon/schema/store"
)

const (
	// gatherFor is how long a busy relay waits for more runs to share a carrier.
	gatherFor = 20 * time.Millisecond
	// fillFor is for how long a busy relay leaves an event that would not fill a
	// carrier with those before it.
	fillFor = 60 * time.Millisecond
)

// gather waits a little while a carrier's worth of runs is under way already, so
// that what comes in meanwhile shares a carrier: a busy cell spends less on each
// run, and one that is not busy waits for nothing.
func (r *relay) gather(ctx context.Context) {
	if r.openCount() < carrierSize || r.leaves {
		return
	}
	t := time.NewTimer(gatherFor)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// filling leaves out the events at the end that would not fill a carrier, while the
// runs of two are under way: they share one with what comes next. What a carrier costs,
// in work and room of the engine, is divided by its runs. No event is left for longer
// than fillFor.
func (r *relay) filling(events []store.Event) []store.Event {
	whole := len(events) - len(events)%carrierSize
	r.leaves = false
	if whole == len(events) || r.openCount() < 2*carrierSize {
		return events
	}
	// The clock of the API may be ahead.
	if age := time.Since(events[whole].ReceivedAt); age < 0 || age >= fillFor || !slices.ContainsFunc(events[whole:], r.mayShare) {
		return events
	}
	r.leaves = true
	time.AfterFunc(gatherFor, r.ring)
	return events[:whole]
}

// mayShare tells whether an event's run may be carried with others.
func (r *relay) mayShare(ev store.Event) bool {
	doc, err := r.executor.Document(ev.Digest) //nolint:contextcheck // Workflow code asks for documents without one.
	return err == nil && doc.Straight && ev.OrderKey == ""
}
