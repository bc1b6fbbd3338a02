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
	// early: the time had not come that it waits for.
	early bool
	since time.Time
}

// misreckoned tells whether the run, which waits, was to wait for less than there is left:
// the clock that began its wait was ahead, or this one is behind.
func misreckoned(run store.Run, now time.Time) bool {
	return run.WaitsFor > 0 && run.DueAt.Sub(now)-store.ClockSkew > run.WaitsFor
}

// stranded tells which of the open runs have carriers that wait for a timer of the
// engine which does not fire in its time. The engine counts in wall time: what a
// clock that was fast has put off is hours away once it is right. That nothing
// happens is told by this process's own monotonic clock (invariant 6), and so is that a
// run has waited for as long as it was to, though the time has not come that it waits
// for: that is the value. heard tells of a run's carrier: one whose step was put off is
// silent for as long as it was told to.
func (r *relay) stranded(open []store.Run, now time.Time, heard func(run string) activities.Heard) map[string]bool {
	out := make(map[string]bool)
	before := r.stills
	if now.Sub(r.stilled) > unwatched {
		before = nil // The engine was away, or this process stopped: no carrier is to blame.
	}
	r.stills, r.stilled = make(map[string]still, len(open)), now
	waited := 0
	for _, run := range open {
		h := heard(run.ID)
		patience, early := silent+h.Put, false
		if run.State == store.RunWaiting && !h.Works {
			patience = overdue
			// None: by a clock that was set meanwhile, its time had come before it was written.
			early = run.DueAt != nil && run.DueAt.After(now)
		}
		s, known := before[run.ID]
		known = known && s.carrier == run.Carrier && s.asks == h.Asks && s.early == early
		if early && (run.WaitsFor == 0 || !known && !misreckoned(run, now)) {
			continue
		}
		silence := now.Sub(s.since)
		if early {
			silence -= run.WaitsFor
		}
		switch {
		case !known:
			r.stills[run.ID] = still{run.Carrier, h.Asks, early, now}
		case silence < patience || early && waited == takeUpAtOnce:
			r.stills[run.ID] = s
		default:
			out[run.ID] = early
			if early {
				waited++
			}
		}
	}
	return out
}
