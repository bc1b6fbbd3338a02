package worker

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	// alertsAtOnce bounds the namespaces whose alerts are sent together: one whose
	// target hangs holds up no other's.
	alertsAtOnce = 4
	// alertPause is before the second attempt of an alert, and doubles up to
	// alertPauseMost; after alertPatience it is given up.
	alertPause     = 5 * time.Second
	alertPauseMost = time.Hour
	alertPatience  = 3 * 24 * time.Hour
	// alertsKept is for how long alerts that have ended are listed; alertsSwept is
	// how often those are removed that are older.
	alertsKept  = 90 * 24 * time.Hour
	alertsSwept = 24 * time.Hour
)

// alerted tells that there is an alert to send.
func (r *relay) alerted() {
	r.telling.Store(true)
	signal(r.raised)
}

// tellAlerts sends alerts until the context ends: those of the process before,
// then what is raised, and each again that told nobody. It looks into the database
// only then, so that a cell at rest asks it nothing.
func (r *relay) tellAlerts(ctx context.Context) {
	swept := time.Time{}
	for {
		if time.Since(swept) > alertsSwept {
			swept = time.Now()
			if err := r.cell.Work().RemoveAlerts(ctx, swept.Add(-alertsKept)); err != nil && ctx.Err() == nil {
				r.logger.WarnContext(ctx, "old alerts could not be removed; it is tried again", "error", err)
			}
		}
		r.telling.Store(true)
		next, err := r.tellDue(ctx)
		r.telling.Store(false)
		if ctx.Err() != nil {
			return
		}
		pause := alertPauseMost
		switch {
		case err != nil:
			r.logger.WarnContext(ctx, "alerts could not be looked for; it is tried again", "error", err)
			pause = alertPause
		case next != nil:
			pause = min(max(time.Until(*next), 10*time.Millisecond), alertPauseMost)
		}
		wait := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-r.raised:
		case <-wait.C:
		}
		wait.Stop()
	}
}

// tellDue sends what is due, and returns when something is next.
func (r *relay) tellDue(ctx context.Context) (*time.Time, error) {
	for {
		due, err := r.cell.Work().DueAlerts(ctx, time.Now())
		if err != nil {
			return nil, err
		}
		if len(due) == 0 {
			return r.cell.Work().NextAlert(ctx)
		}
		var beside errgroup.Group
		beside.SetLimit(alertsAtOnce)
		for _, alert := range due {
			beside.Go(func() error { return r.tell(ctx, alert) })
		}
		if err := beside.Wait(); err != nil {
			return nil, err
		}
	}
}

// tell sends one alert; what came of it is on record.
func (r *relay) tell(ctx context.Context, alert store.Alert) error {
	begun := time.Now()
	heard, audit, err := r.executor.Tell(ctx, alert)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	next := schema.NewID(schema.PrefixAlert)
	alert.ErrorSealed = r.executor.SealAlertError(alert, err)
	switch {
	case err == nil && !heard:
		return r.cell.Work().EndAlert(ctx, alert, store.AlertUnheard, next)
	case err == nil:
		return r.cell.Work().EndAlert(ctx, alert, store.AlertSent, next, audit...)
	case time.Since(alert.Raised()) > alertPatience:
		r.logger.ErrorContext(ctx, "an alert told nobody for days and is given up", "alert", alert.ID, "kind", alert.Kind, "subject", alert.Subject, "error", err)
		audit = append(audit, store.AuditDraft{Actor: "system", Action: "alert.given_up", Target: alert.ID, Namespace: alert.Namespace})
		return r.cell.Work().EndAlert(ctx, alert, store.AlertGivenUp, next, audit...)
	}
	pause := min(alertPause<<min(alert.Attempts, 16), alertPauseMost)
	r.logger.WarnContext(ctx, "an alert could not be sent and is tried again", "alert", alert.ID, "kind", alert.Kind, "subject", alert.Subject, "after", pause, "error", err)
	return r.cell.Work().PostponeAlerts(ctx, alert, begun, time.Now().Add(pause), audit...)
}

// testAlert raises the alert that somebody asked for.
func (r *relay) testAlert(ctx context.Context, c store.Command) error {
	alert := store.Alert{ID: schema.NewID(schema.PrefixAlert), Namespace: c.Namespace, Kind: store.AlertTest, Subject: c.Namespace}
	err := r.cell.Work().ApplyAlert(ctx, c.Seq, alert,
		store.AuditDraft{Actor: c.By, Action: "alert.test.applied", Target: alert.ID, Namespace: c.Namespace})
	if err == nil {
		r.alerted()
	}
	return err
}
