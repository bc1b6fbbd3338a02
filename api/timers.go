package api

import (
	"context"
	"errors"
	"time"

	"github.com/tenonhq/tenon/api/internal/calendar"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	// timerLease is how long a schedule that is looked at is its process's, should
	// that die.
	timerLease = 30 * time.Second
	// timerAgain is the pause after a look that failed.
	timerAgain = 10 * time.Second
	// timersAtOnce bounds how many schedules are looked at together: an organization
	// whose database hangs holds up no other.
	timersAtOnce = 16
)

// clock fires the schedules of all cells. Any number of processes do: a time
// makes one event, however often it is tried (invariant 6).
type clock struct {
	s     *Server
	moved chan struct{}
	// places are taken by the looks that go on.
	places chan struct{}
}

func newClock(s *Server) *clock {
	return &clock{s: s, moved: make(chan struct{}, 1), places: make(chan struct{}, timersAtOnce)}
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

// due begins with every schedule that is due, and tells for how long there will
// be none.
func (c *clock) due(ctx context.Context) (time.Duration, error) {
	for {
		select {
		case c.places <- struct{}{}:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		t, err := c.s.config.Control.ClaimTimer(ctx, c.s.now(), c.s.now().Add(timerLease))
		if err != nil || t == nil {
			<-c.places
			if err != nil {
				return c.s.config.Limits.Clock, err
			}
			break
		}
		c.s.work.Go(func() {
			defer func() { <-c.places }()
			c.look(ctx, *t)
			c.set()
		})
	}
	at, err := c.s.config.Control.NextTimer(ctx)
	if err != nil || at.IsZero() {
		return c.s.config.Limits.Clock, err
	}
	return min(max(at.Sub(c.s.now()), time.Millisecond), c.s.config.Limits.Clock), nil
}

// look looks at one schedule, and sets its timer anew.
func (c *clock) look(ctx context.Context, t store.Timer) {
	ctx, cancel := context.WithTimeout(ctx, timerLease)
	defer cancel()
	to, err := c.fire(ctx, t)
	if err != nil {
		if c.s.ctx.Err() != nil {
			return
		}
		c.s.log.WarnContext(ctx, "a schedule could not fire and is tried again",
			"organization", t.Organization, "schedule", t.Schedule, "due", t.Due, "error", err)
		to = t
		to.Look = c.s.now().Add(timerAgain)
	}
	if to.Look.IsZero() {
		err = c.s.config.Control.EndTimer(ctx, t)
	} else {
		err = c.s.config.Control.MoveTimer(ctx, t, to)
	}
	if err != nil && schema.CodeOf(err) != schema.CodeConflict && c.s.ctx.Err() == nil {
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
	f := firing{
		s: c.s, timer: t, row: row, when: when, times: times, now: c.s.now(),
		caller: &caller{actor: row.ID, org: t.Organization, cell: opened},
	}
	f.caller.namespace.ID = row.Namespace
	return f.next(ctx)
}

// firing is one look at a schedule.
type firing struct {
	s      *Server
	caller *caller
	timer  store.Timer
	row    store.Source
	when   config.Schedule
	times  calendar.Calendar
	now    time.Time
}

func (f firing) next(ctx context.Context) (store.Timer, error) {
	due := f.timer.Due
	switch {
	case due.IsZero() || !f.timer.Made.Equal(f.row.UpdatedAt):
		// Its row is another than the timer was made from.
		return f.timerAt(f.times.Next(f.now)), nil
	case due.After(f.now):
		return f.timerAt(due), nil
	}
	catchUp := f.when.CatchUp
	if catchUp == 0 {
		catchUp = config.DefaultCatchUp
	}
	if oldest := f.now.Add(-time.Duration(catchUp) * time.Second); due.Before(oldest) {
		next := f.times.Next(oldest.Add(-time.Microsecond))
		return f.timerAt(next), f.left(ctx, "nobody was there for it in time", map[string]any{"until": next})
	}
	event, err := f.event(ctx)
	if err != nil {
		return f.timer, err
	}
	next := f.timerAt(f.times.Next(due))
	if event != "" {
		next.Event = event
	}
	return next, nil
}

func (f firing) timerAt(due time.Time) store.Timer {
	t := f.timer
	t.Made, t.Due, t.Look = f.row.UpdatedAt, due, due
	return t
}

// left records a time that was left out, with why.
func (f firing) left(ctx context.Context, why string, detail map[string]any) error {
	detail["due"], detail["reason"] = f.timer.Due, why
	draft, err := f.s.audit(f.caller, "schedule.leave_out", f.row.ID, detail)
	if err != nil {
		return err
	}
	return f.caller.cell.Door().AppendAudit(ctx, draft)
}

// event puts the event of the time that is due into the inbox. The id is empty when
// the time is left out.
func (f firing) event(ctx context.Context) (string, error) {
	flow, version, err := f.caller.latest(ctx, f.row.Flow)
	if err != nil {
		return "", err
	}
	if flow.State == store.FlowPaused {
		return "", f.left(ctx, "the flow is paused", map[string]any{})
	}
	in := inbound{
		kind: config.KindSchedule, source: f.row.ID, dedupe: f.timer.Due.UTC().Format(time.RFC3339), flow: flow, digest: version.Digest,
		payload: config.Event{Body: f.when.Value(), ContentType: "application/json", Source: f.row.ID, Due: f.timer.Due},
	}
	switch f.when.Overlap {
	case config.OverlapQueue:
		in.order = dedupe(f.row.ID, "")
	case config.OverlapSkip:
		open, err := f.open(ctx)
		if err != nil {
			return "", err
		}
		if open {
			return "", f.left(ctx, "the run before has not ended", map[string]any{"event": f.timer.Event})
		}
	}
	id, _, err := f.s.accept(ctx, f.caller, in)
	return id, err
}

// open tells whether the run of the last event has still to end.
func (f firing) open(ctx context.Context) (bool, error) {
	if f.timer.Event == "" {
		return false, nil
	}
	door := f.caller.cell.Door()
	event, err := door.GetEvent(ctx, f.row.Namespace, f.timer.Event)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	run, err := f.caller.cell.Work().RunOf(ctx, event)
	switch {
	case schema.CodeOf(err) == schema.CodeNotFound:
		return true, nil
	case err != nil:
		return false, err
	}
	// An uncertain one holds the next back, as it does in an order.
	return !store.Terminal(run.State) || run.State == store.RunUncertain, nil
}

// expectTimers has every schedule of the cell that is active looked at that has no
// timer: its control database was put back, or its own.
func (w *sweep) expectTimers(ctx context.Context) error {
	rows, err := w.cell.Door().ListSchedules(ctx, "")
	if err != nil || len(rows) == 0 {
		return err
	}
	there, err := w.s.timers(ctx, w.org)
	if err != nil {
		return err
	}
	var failed error
	for _, row := range rows {
		if _, ok := there[row.ID]; !ok && row.State == store.SourceActive {
			failed = errors.Join(failed, w.s.config.Control.ExpectTimer(ctx, w.org, row.ID, w.s.now()))
		}
	}
	return failed
}
