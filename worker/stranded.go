package worker

import (
	"time"

	"github.com/tenonhq/tenon/activities"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	// overdue is how long a run may be past its wait, with no word of its carrier,
	// before it is taken up, and silent how long one that is worked on may go without
	// its carrier asking for anything: longer than an attempt of a step takes, and the
	// pause before the next.
	overdue = time.Minute
	silent  = 3 * time.Minute
	// unwatched is the time between two looks after which the first says nothing.
	unwatched = 3 * reconcileEvery
)

// still is a run that nothing was heard of since.
type still struct {
	carrier string
	asks    uint64
	since   time.Time
}

// stranded tells which of the open runs have carriers that wait for a timer of the
// engine which does not fire in its time. The engine counts in wall time: what a
// clock that was fast has put off is hours away once it is right. That nothing
// happens is told by this process's own monotonic clock (invariant 6). heard tells
// of a run's carrier: one whose step was put off is silent for as long as it was told to.
func (r *relay) stranded(open []store.Run, now time.Time, heard func(run string) activities.Heard) map[string]bool {
	out := make(map[string]bool)
	before := r.stills
	if now.Sub(r.stilled) > unwatched {
		before = nil // The engine was away, or this process stopped: no carrier is to blame.
	}
	r.stills, r.stilled = make(map[string]still, len(open)), now
	for _, run := range open {
		h := heard(run.ID)
		patience := silent + h.Put
		if run.State == store.RunWaiting {
			// None: by a clock that was set meanwhile, its time had come before it was written.
			if run.DueAt != nil && run.DueAt.After(now) {
				continue
			}
			if !h.Works {
				patience = overdue
			}
		}
		s, known := before[run.ID]
		switch {
		case !known || s.carrier != run.Carrier || s.asks != h.Asks:
			r.stills[run.ID] = still{run.Carrier, h.Asks, now}
		case now.Sub(s.since) < patience:
			r.stills[run.ID] = s
		default:
			out[run.ID] = true
		}
	}
	return out
}
