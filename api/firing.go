package api

import (
	"context"
	"time"

	"github.com/tenonhq/tenon/api/internal/calendar"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	// leftEvery is how often the times of a schedule that are left out one after the
	// other are put on record; the first is at once.
	leftEvery = time.Hour
	// timerUnknown is the pause before a schedule is looked at whose next time is not
	// found.
	timerUnknown = time.Hour
)

// firing is one look at a schedule. timer becomes what the next look is.
type firing struct {
	s      *Server
	caller *caller
	timer  store.Timer
	row    store.Source
	when   config.Schedule
	times  calendar.Calendar
	now    time.Time
}

func (f *firing) next(ctx context.Context) (store.Timer, error) {
	due, soonest := f.timer.Due, f.times.Next(f.now)
	switch {
	case due.IsZero() || !f.timer.Made.Equal(f.row.UpdatedAt):
		// Its row is another than the timer was made from.
		return f.timerAt(soonest), nil
	case due.After(f.now):
		// After a clock that was ahead, the time may be too far off.
		if soonest.Before(due) {
			due = soonest
		}
		return f.timerAt(due), nil
	}
	if kept, err := f.kept(ctx, due); err != nil || kept {
		return f.timerAt(f.times.Next(due)), err
	}
	catchUp := f.when.CatchUp
	if catchUp == 0 {
		catchUp = config.DefaultCatchUp
	}
	if oldest := f.now.Add(-time.Duration(catchUp) * time.Second); due.Before(oldest) {
		next := f.times.Next(oldest.Add(-time.Microsecond))
		if err := f.leave(ctx, due, "nobody was there for it in time", map[string]any{"until": next}); err != nil {
			return f.timer, err
		}
		return f.timerAt(next), nil
	}
	if err := f.event(ctx, due); err != nil {
		return f.timer, err
	}
	return f.timerAt(f.times.Next(due)), nil
}

func (f *firing) timerAt(due time.Time) store.Timer {
	t := f.timer
	t.Made, t.Due, t.Look = f.row.UpdatedAt, due, due
	switch {
	case due.IsZero():
		t.Look = f.now.Add(timerUnknown)
	case due.Before(f.now):
		// What is made up for comes after what others have waited for as long.
		t.Look = f.now
	}
	return t
}

// kept tells whether the event of a time is in the inbox, whose process did not get
// to set the timer: then the cell is woken for it.
func (f *firing) kept(ctx context.Context, due time.Time) (bool, error) {
	_, err := f.caller.cell.Door().FindEvent(ctx, dedupe(f.row.ID, identity(due)))
	if schema.CodeOf(err) == schema.CodeNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, f.s.wake(ctx, f.caller.cell)
}

// identity is what makes two firings of a schedule the same.
func identity(due time.Time) string { return due.UTC().Format(time.RFC3339) }

// leave leaves a time out. It is on record, the first of several at once and the
// others by their number: who has a schedule that never fires does not fill the log.
func (f *firing) leave(ctx context.Context, due time.Time, why string, detail map[string]any) error {
	f.timer.Left++
	if since := f.now.Sub(f.timer.LeftAt); since >= 0 && since < leftEvery {
		return nil
	}
	return f.record(ctx, due, why, detail)
}

func (f *firing) record(ctx context.Context, due time.Time, why string, detail map[string]any) error {
	detail["due"], detail["reason"], detail["times"] = due, why, f.timer.Left
	draft, err := f.s.audit(f.caller, "schedule.leave_out", f.row.ID, detail)
	if err != nil {
		return err
	}
	f.timer.Left, f.timer.LeftAt = 0, f.now
	return f.caller.cell.Door().AppendAudit(ctx, draft)
}

// event puts the event of the time that is due into the inbox, unless the time is
// left out.
func (f *firing) event(ctx context.Context, due time.Time) error {
	flow, version, err := f.caller.latest(ctx, f.row.Flow)
	if err != nil {
		return err
	}
	if flow.State == store.FlowPaused {
		return f.leave(ctx, due, "the flow is paused", map[string]any{})
	}
	in := inbound{
		kind: config.KindSchedule, source: f.row.ID, dedupe: identity(due), flow: flow, digest: version.Digest,
		payload: config.Event{Body: f.when.Value(), ContentType: "application/json", Source: f.row.ID, Due: due},
	}
	switch f.when.Overlap {
	case config.OverlapQueue:
		in.order = dedupe(f.row.ID, "")
	case config.OverlapSkip:
		open, err := f.open(ctx)
		if err != nil {
			return err
		}
		if open != "" {
			return f.leave(ctx, due, "the run before has not ended", map[string]any{"event": open})
		}
	}
	if f.timer.Left > 0 {
		if err := f.record(ctx, due, "it fires again", map[string]any{}); err != nil {
			return err
		}
	}
	if _, _, err := f.s.accept(ctx, f.caller, &in); err != nil {
		return err
	}
	f.timer.LeftAt = time.Time{}
	return nil
}

// open is the schedule's last event, if its run has still to end.
func (f *firing) open(ctx context.Context) (event string, err error) {
	last, err := f.caller.cell.Door().LastScheduled(ctx, f.row.ID)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	run, err := f.caller.cell.Work().RunOf(ctx, last)
	switch {
	case schema.CodeOf(err) == schema.CodeNotFound:
		return last.ID, nil
	case err != nil:
		return "", err
	case !store.Terminal(run.State), run.State == store.RunUncertain:
		// An uncertain one holds the next back, as it does in an order.
		return last.ID, nil
	}
	return "", nil
}

// times opens what a schedule's row says of when it fires.
func (c *cell) times(row store.Source) (config.Schedule, error) {
	var when config.Schedule
	err := c.openJSON(place.Source(c.org, row.ID), row.ConfigSealed, &when)
	return when, err
}
