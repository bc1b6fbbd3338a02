package activities

import (
	"slices"
	"strings"
	"time"

	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// parking is what a run waits for: due ends a wait of so long. Both are zero when that
// was over before it was written. kept: the run's row says so.
type parking struct {
	due  time.Time
	wait time.Duration
	kept bool
}

// rests tells whether the run waits, and its row says so.
func (st *runState) rests() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.parking != nil && st.parking.kept
}

// goesOn is told when the run's next step begins: it waits no more. A step that began
// before the wait, and that a timeout has left behind, does not tell.
func (st *runState) goesOn() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.parking = nil
}

// park tells what the run waits for after the step with the key: the first end of its
// wait, or of a timeout that bounds it. The caller holds the state's lock.
func (st *runState) park(key string, rec task.Record, now time.Time) *parking {
	p, least := &parking{}, time.Duration(0)
	first := func(rec task.Record) {
		if left := rec.Left(now); left > 0 && (least == 0 || left < least) {
			least, *p = left, parking{due: rec.Until, wait: rec.Result.Wait}
		}
	}
	first(rec)
	for k, other := range st.records {
		if bounds(k, key) {
			first(other)
		}
	}
	return p
}

// bounds tells whether a step sets a timeout that is in force at another, by their keys
// (package workflows).
func bounds(timeout, key string) bool {
	if path, ok := strings.CutSuffix(timeout, ":attempt"); ok {
		return strings.HasPrefix(key, path+"/try/")
	}
	path, ok := strings.CutSuffix(timeout, ":timeout")
	rest, inside := strings.CutPrefix(key, path)
	return ok && inside && (path == "" || rest == "" || strings.ContainsRune("/[~:", rune(rest[0])))
}

// maxWaited bounds the runs of which it is remembered that they have waited; one that is
// forgotten waits for as long again.
const maxWaited = 4096

// Waited tells that the run, which waits for due, has waited for as long as it was to, by
// a clock that nobody sets: the one that reckoned due was ahead. Whoever takes the run up
// goes on. Another wait of the run has another due.
func (e *Executor) Waited(run string, due time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.waited == nil || len(e.waited) >= maxWaited {
		e.waited = make(map[string]time.Time)
	}
	e.waited[run] = due
}

// wake ends, of the waits with the keys, those that are over though their ends have not
// come, and what the run has waited for. The journal keeps what they were. A run whose
// row does not say that it waits does not ([Executor.journal]); one that does has ended all
// its waits but one, unless it is a timeout that it waits for first.
func (e *Executor) wake(st *runState, waits []string) {
	now, run := e.now(), st.run
	end := func(key string) {
		rec := st.records[key]
		rec.Until = now
		st.records[key] = rec
	}
	var current []string
	if st.waiting {
		if run.DueAt == nil {
			return
		}
		for key, rec := range st.records {
			if rec.Until.Truncate(time.Microsecond).Equal(*run.DueAt) { // As databases keep it.
				current = append(current, key)
			}
		}
		if !slices.ContainsFunc(current, func(key string) bool { return slices.Contains(waits, key) }) {
			waits = nil
		}
	}
	for _, key := range waits {
		if rec := st.records[key]; !slices.Contains(current, key) && rec.Until.Sub(now)-store.ClockSkew > rec.Result.Wait {
			end(key)
		}
	}
	e.mu.Lock()
	due, waited := e.waited[run.ID]
	e.mu.Unlock()
	if waited && st.waiting && due.Equal(*run.DueAt) {
		for _, key := range current {
			end(key)
		}
	}
}

// waiting makes a record wait from now: the journal keeps the instant, so that
// a run that is taken over waits for what is left.
func waiting(rec task.Record, now time.Time, d time.Duration) task.Record {
	rec.Result.Wait = max(d, 0)
	rec.Until = now.Add(rec.Result.Wait)
	return rec
}
