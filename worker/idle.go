package worker

import (
	"context"
	"sync/atomic"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	// shortestSleep is how far off the next timer must be for the cell to sleep:
	// going to sleep and waking up again are work, too.
	shortestSleep = 5 * time.Second
	// wakeLead is how long before the next timer a cell wakes, so that it fires
	// in time.
	wakeLead = time.Second
	// slimAfter is how long a cell has nothing to do before it gives the memory
	// back that it does not need for that.
	slimAfter = 5 * time.Second
	// lookEvery is the pause between two looks whether the cell may sleep.
	lookEvery = 2 * time.Second
)

// rest asks for sleep once the cell had nothing to do for a while.
type rest struct {
	after time.Duration // 0: never
	ask   func()
	// since is when there was work last, looked when it was last made sure that
	// there is none.
	since, looked time.Time
	slim          bool
	text          text
}

// worked is told of work.
func (q *rest) worked() { q.since, q.slim = time.Now(), false }

// doze asks for sleep when it is time and the cell has nothing to do.
func (r *relay) doze(ctx context.Context) {
	q := &r.rest
	now := time.Now()
	if r.busy() {
		q.worked()
	}
	if !q.slim && now.Sub(q.since) >= slimAfter {
		q.slim = true
		q.text.release()
	}
	if q.after <= 0 || now.Sub(q.since) < q.after || now.Sub(q.looked) < lookEvery {
		return
	}
	q.looked = now
	idle, _, err := r.nothing(ctx)
	if r.troubles.about(ctx, "look whether there is work", err) && idle {
		q.ask()
	}
}

// busy tells whether this process has something under way.
func (r *relay) busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.shares.open)+len(r.lost)+len(r.unstarted) > 0 || r.down.Load() || r.sealing() || r.telling.Load()
}

// nothing looks whether the cell has nothing to do: no event and no command
// unread, no alert to send, no run but those whose carriers wait for nothing but a
// timer that is some time off. wakeAt is when the first of them is due; nil for
// none.
func (r *relay) nothing(ctx context.Context) (idle bool, wakeAt *time.Time, err error) {
	if pending, err := r.pending(ctx); err != nil || pending {
		return false, nil, err
	}
	if more, err := r.mayStart(ctx); err != nil || more {
		return false, nil, err
	}
	if wakeAt, err = r.cell.Work().NextAlert(ctx); err != nil {
		return false, nil, err
	}
	now := time.Now()
	soon := now.Add(shortestSleep)
	if wakeAt != nil && wakeAt.Before(soon) {
		return false, nil, nil
	}
	open, err := r.cell.Work().OpenRuns(ctx)
	if err != nil {
		return false, nil, err
	}
	carriers := make(map[string]bool, len(open))
	for _, run := range open {
		if run.State != store.RunWaiting || run.DueAt == nil || run.DueAt.Before(soon) || misreckoned(run, now) {
			return false, nil, nil
		}
		if wakeAt == nil || run.DueAt.Before(*wakeAt) {
			wakeAt = run.DueAt
		}
		carriers[run.Carrier] = true
	}
	if parked, err := r.parked(ctx, carriers); err != nil || !parked {
		return false, nil, err
	}
	if wakeAt != nil {
		at := wakeAt.Add(-wakeLead)
		wakeAt = &at
	}
	return true, wakeAt, nil
}

// pending tells whether the door holds something that was not read.
func (r *relay) pending(ctx context.Context) (bool, error) {
	cursor, err := r.cell.Work().Cursor(ctx, store.CursorEvents)
	if err != nil {
		return false, err
	}
	events, err := r.cell.Door().EventsAfter(ctx, cursor, 1)
	if err != nil || len(events) > 0 {
		return true, err
	}
	if cursor, err = r.cell.Work().Cursor(ctx, store.CursorCommands); err != nil {
		return false, err
	}
	commands, err := r.cell.Door().CommandsAfter(ctx, cursor, 1)
	if err != nil || len(commands) > 0 {
		return true, err
	}
	removed, err := r.removed(ctx, 1)
	return len(removed) > 0, err
}

// parked tells whether each of the carriers waits for timers alone: an activity
// that the engine is to give to a worker, or a workflow task, needs this cell.
func (r *relay) parked(ctx context.Context, carriers map[string]bool) (bool, error) {
	var others atomic.Int64
	err := each(carriers, func(id string) error {
		waits, err := r.waits(ctx, id)
		if !waits {
			others.Add(1)
		}
		return err
	})
	return others.Load() == 0, err
}

func (r *relay) waits(ctx context.Context, carrier string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	d, err := r.engine.DescribeWorkflowExecution(ctx, carrier, "")
	if err != nil {
		return false, schema.Errorf(schema.CodeUnavailable, "the engine does not tell about a carrier: %w", err)
	}
	return d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING &&
		len(d.GetPendingActivities()) == 0 && d.GetPendingWorkflowTask() == nil, nil
}
