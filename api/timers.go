package api

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tenonhq/tenon/api/internal/calendar"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	// timerLease is how long a schedule that is looked at is its process's, should
	// that die. A look takes no longer than lookLimit, and settling it settleLimit.
	timerLease  = 30 * time.Second
	lookLimit   = 20 * time.Second
	settleLimit = 5 * time.Second
	// timerAgain is the pause after a look that failed, and before a schedule of an
	// organization that is not active is looked at.
	timerAgain = 10 * time.Second
	// timersAtOnce bounds how many organizations' schedules are looked at together.
	timersAtOnce = 16
)

// clock fires the schedules of all cells. Any number of processes do: a time
// makes one event, however often it is tried (invariant 6).
type clock struct {
	s     *Server
	moved chan struct{}
	// places are taken by the looks that go on.
	places chan struct{}

	mu sync.Mutex
	// busy are the organizations of which a schedule is looked at, one at a time: one
	// whose databases hang, or that has much to make up for, holds up no other
	// (invariant 2).
	busy map[string]bool
}

func newClock(s *Server) *clock {
	return &clock{s: s, moved: make(chan struct{}, 1), places: make(chan struct{}, timersAtOnce), busy: map[string]bool{}}
}

// set tells that a timer was set.
func (c *clock) set() {
	select {
	case c.moved <- struct{}{}:
	default:
	}
}

// run looks for what is due until the server is closed.
func (c *clock) run() {
	for {
		rest, err := c.due(c.s.ctx)
		if err != nil && c.s.ctx.Err() == nil {
			c.s.log.WarnContext(c.s.ctx, "schedules that are due could not be looked for; it is tried again", "error", err)
		}
		next := time.NewTimer(rest)
		select {
		case <-c.s.ctx.Done():
			next.Stop()
			return
		case <-next.C:
		case <-c.moved:
			next.Stop()
		}
	}
}

// due begins with every schedule that is due and whose organization has none under
// way, and tells for how long there will be none.
func (c *clock) due(ctx context.Context) (time.Duration, error) {
	longest := c.s.config.Limits.Clock
	for {
		select {
		case c.places <- struct{}{}:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		t, err := c.claim(ctx)
		if err != nil || t == nil {
			<-c.places
			if err != nil {
				return longest, err
			}
			break
		}
		c.s.work.Go(func() { c.hold(ctx, *t) })
	}
	at, err := c.s.config.Control.NextTimer(ctx)
	if err != nil || at.IsZero() {
		return longest, err
	}
	rest := at.Sub(c.s.now())
	if rest <= 0 {
		// Its organization is looked at, and tells when that is over; or is not active.
		return longest, c.s.config.Control.PutOffTimers(ctx, c.s.now(), c.s.now().Add(timerAgain))
	}
	return min(max(rest, time.Millisecond), longest), nil
}

func (c *clock) claim(ctx context.Context) (*store.Timer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	except := make([]string, 0, len(c.busy))
	for org := range c.busy {
		except = append(except, org)
	}
	t, err := c.s.config.Control.ClaimTimer(ctx, c.s.now(), c.s.now().Add(timerLease), except)
	if t != nil {
		c.busy[t.Organization] = true
	}
	return t, err
}

// hold holds a place for a look, for as long as its claim is good: a server that is
// frozen does not even hear that a query was given up. Its organization stays busy
// until it has.
func (c *clock) hold(ctx context.Context, t store.Timer) {
	done := make(chan struct{})
	c.s.work.Go(func() {
		defer close(done)
		c.look(ctx, t)
		c.mu.Lock()
		delete(c.busy, t.Organization)
		c.mu.Unlock()
	})
	limit := time.NewTimer(timerLease)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
	}
	<-c.places
	c.set()
}

// look looks at one schedule, and sets its timer anew.
func (c *clock) look(ctx context.Context, t store.Timer) {
	looking, cancel := context.WithTimeout(ctx, lookLimit)
	to, err := c.fire(looking, t)
	cancel()
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		c.s.log.WarnContext(ctx, "a schedule could not fire and is tried again",
			"organization", t.Organization, "schedule", t.Schedule, "due", t.Due, "error", err)
		to = t
		to.Look = c.s.now().Add(timerAgain)
	}
	settling, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	if to.Look.IsZero() {
		err = c.s.config.Control.EndTimer(settling, t)
	} else {
		err = c.s.config.Control.MoveTimer(settling, t, to)
	}
	if err != nil && schema.CodeOf(err) != schema.CodeConflict && ctx.Err() == nil {
		c.s.log.WarnContext(ctx, "a schedule's timer could not be set; it is looked at again", "schedule", t.Schedule, "error", err)
	}
}

// fire makes the event of a time that has come, and returns the timer of the next
// one; without a look, there is none.
func (c *clock) fire(ctx context.Context, t store.Timer) (store.Timer, error) {
	opened, release, err := c.s.cells.acquire(ctx, t.Organization)
	if err != nil {
		return t, err
	}
	defer release()
	row, err := opened.Door().GetSource(ctx, t.Schedule)
	if schema.CodeOf(err) == schema.CodeNotFound || err == nil && row.State != store.SourceActive {
		return store.Timer{}, nil
	}
	if err != nil {
		return t, err
	}
	when, err := opened.times(row)
	if err != nil {
		return t, err
	}
	times, err := calendar.Of(when, row.CreatedAt)
	if err != nil {
		return t, err
	}
	f := &firing{
		s: c.s, timer: t, row: row, when: when, times: times, now: c.s.now(),
		caller: &caller{actor: row.ID, org: t.Organization, cell: opened},
	}
	f.caller.namespace.ID = row.Namespace
	return f.next(ctx)
}

// expectTimers has every active schedule of the cell looked at that has no timer,
// or one that was made from another row: one of the databases was put back.
func (w *sweep) expectTimers(ctx context.Context) error {
	rows, err := w.cell.Door().Schedules(ctx)
	if err != nil || len(rows) == 0 {
		return err
	}
	there, err := w.s.timers(ctx, w.org)
	if err != nil {
		return err
	}
	var failed error
	for _, row := range rows {
		if t, ok := there[row.ID]; !ok || !t.Made.Equal(row.UpdatedAt) {
			failed = errors.Join(failed, w.s.config.Control.ExpectTimer(ctx, w.org, row.ID, w.s.now()))
		}
	}
	return failed
}
