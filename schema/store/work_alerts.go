package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"
)

// The kinds of alert.
const (
	// AlertUncertain: a run of the flow waits for a person to decide.
	AlertUncertain = "run.uncertain"
	// AlertFailed: a run of the flow failed, and its event is a dead letter.
	AlertFailed = "run.failed"
	// AlertSuspended: nothing is sent for the connection anymore.
	AlertSuspended = "connection.suspended"
	// AlertTest is one that somebody asked for.
	AlertTest = "test"
)

// The states of an alert.
const (
	AlertPending = "pending"
	AlertSent    = "sent"
	// AlertUnheard: nobody is to be told of it.
	AlertUnheard = "unheard"
	// AlertGivenUp: who was to be told could not be, for days.
	AlertGivenUp = "given_up"
)

// alertRest is the shortest time between two alerts of one kind and subject: what
// is raised meanwhile is counted by the second.
const alertRest = time.Minute

// Alert is what a person is to be told of. It names what it is about and says
// nothing of it.
type Alert struct {
	ID        string `bun:",pk"`
	Namespace string
	Kind      string
	// Subject is the id of the flow, or of the connection.
	Subject string
	// Run is the first run that raised it; empty where there is none.
	Run string
	// Count is how often it was raised.
	Count     int64
	State     string
	Attempts  int
	NextAt    int64
	CreatedAt int64
	EndedAt   int64
	// ErrorSealed is why the last attempt told nobody; empty for none.
	ErrorSealed []byte
}

func (*Alert) utc() {}

// Due is when it is told, or tried again.
func (a Alert) Due() time.Time { return fromMicros(a.NextAt) }

// Raised is when it was raised first, and Ended when it was told or given up.
func (a Alert) Raised() time.Time { return fromMicros(a.CreatedAt) }

// Ended is the zero time for one that is pending.
func (a Alert) Ended() time.Time { return fromMicros(a.EndedAt) }

// alert raises alerts in the transaction of what they tell of. One that is pending
// already is counted.
func (t *txn) alert(alerts ...Alert) error {
	for _, a := range alerts {
		at := micros(now())
		n, _, err := t.Exec("UPDATE alerts SET count = count + 1 WHERE kind = ? AND subject = ? AND state = 'pending'", a.Kind, a.Subject)
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		var last int64
		err = t.QueryRow("SELECT COALESCE(MAX(ended_at), 0) FROM alerts WHERE kind = ? AND subject = ?", []any{a.Kind, a.Subject}, &last)
		if err != nil {
			return err
		}
		_, _, err = t.Exec("INSERT INTO alerts (id, namespace, kind, subject, run, count, state, attempts, next_at, created_at, ended_at) "+
			"VALUES (?, ?, ?, ?, ?, 1, 'pending', 0, ?, ?, 0)",
			a.ID, a.Namespace, a.Kind, a.Subject, a.Run, rested(at, last), at)
		if err != nil {
			return err
		}
	}
	return nil
}

// rested is when an alert is sent that is raised at a time, after one that ended; a
// time to come is of a clock that was ahead.
func rested(at, last int64) int64 {
	if last > at {
		return at
	}
	return max(at, last+alertRest.Microseconds())
}

// RaiseAlert raises an alert of what is not written otherwise.
func (w *Work) RaiseAlert(ctx context.Context, a Alert, audit ...AuditDraft) error {
	return w.s.w.do(ctx, "raise the alert", func(t *txn) error {
		t.audit(audit...)
		return t.alert(a)
	})
}

// ApplyAlert raises an alert that a command asks for; the cursor of commands moves
// to seq in the same transaction. A command at or before it changes nothing.
func (w *Work) ApplyAlert(ctx context.Context, seq int64, a Alert, audit ...AuditDraft) error {
	return w.s.w.do(ctx, "apply the command", func(t *txn) error {
		passed, err := t.passed(seq)
		if err != nil || passed {
			return err
		}
		if err := t.alert(a); err != nil {
			return err
		}
		t.audit(audit...)
		return t.advance(CursorCommands, seq)
	})
}

// DueAlerts lists, for each namespace that has any, the pending alert that is due
// for longest.
func (w *Work) DueAlerts(ctx context.Context, at time.Time) ([]Alert, error) {
	return many[Alert](ctx, w.s.Bun(), "alerts", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("id IN (SELECT MIN(id) FROM alerts WHERE state = ? AND next_at <= ? GROUP BY namespace)", AlertPending, micros(at)).Order("id")
	})
}

// NextAlert is when the first pending alert is due; nil for none.
func (w *Work) NextAlert(ctx context.Context) (*time.Time, error) {
	rows, err := w.s.Query(ctx, "SELECT COALESCE(MIN(next_at), 0) FROM alerts WHERE state = 'pending'")
	at, err := single("find the next alert", rows, err, func(row scanner) (int64, error) {
		var at int64
		return at, row.Scan(&at)
	})
	return fromMicrosAt(at), err
}

// PostponeAlerts notes an attempt that told nobody, with a.ErrorSealed, and has what else is due of the
// namespace, and would be sent to the same place, wait as long.
func (w *Work) PostponeAlerts(ctx context.Context, a Alert, at, next time.Time, audit ...AuditDraft) error {
	return w.s.w.do(ctx, "postpone the alerts", func(t *txn) error {
		_, _, err := t.Exec("UPDATE alerts SET attempts = attempts + 1, error_sealed = ? WHERE id = ? AND state = 'pending'", a.ErrorSealed, a.ID)
		if err == nil {
			_, _, err = t.Exec("UPDATE alerts SET next_at = ? WHERE namespace = ? AND state = 'pending' AND next_at <= ?", micros(next), a.Namespace, micros(at))
		}
		t.audit(audit...)
		return err
	})
}

// EndAlert ends an alert as it was told, or was not, with a.ErrorSealed. What was raised since it was
// read is an alert of its own, which becomes pending with next.
func (w *Work) EndAlert(ctx context.Context, a Alert, state, next string, audit ...AuditDraft) error {
	return w.s.w.do(ctx, "end the alert", func(t *txn) error {
		var count int64
		err := t.QueryRow("SELECT count FROM alerts WHERE id = ? AND state = 'pending'", []any{a.ID}, &count)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		at := micros(now())
		_, _, err = t.Exec("UPDATE alerts SET state = ?, count = ?, attempts = attempts + 1, ended_at = ?, error_sealed = ? WHERE id = ?", state, a.Count, at, a.ErrorSealed, a.ID)
		if err != nil {
			return err
		}
		t.audit(audit...)
		if count <= a.Count {
			return nil
		}
		_, _, err = t.Exec("INSERT INTO alerts (id, namespace, kind, subject, run, count, state, attempts, next_at, created_at, ended_at) "+
			"VALUES (?, ?, ?, ?, '', ?, 'pending', 0, ?, ?, 0)", next, a.Namespace, a.Kind, a.Subject, count-a.Count, at+alertRest.Microseconds(), at)
		return err
	})
}

// RemoveAlerts removes alerts that ended before a time.
func (w *Work) RemoveAlerts(ctx context.Context, before time.Time) error {
	return w.s.w.do(ctx, "remove the alerts", func(t *txn) error {
		_, _, err := t.Exec("DELETE FROM alerts WHERE state <> 'pending' AND ended_at < ?", micros(before))
		return err
	})
}

// ListAlerts lists the alerts of a namespace, newest first.
func (w *Work) ListAlerts(ctx context.Context, namespace string, p Page) ([]Alert, error) {
	return many[Alert](ctx, w.s.Bun(), "alerts", func(q *bun.SelectQuery) *bun.SelectQuery {
		if p.After != "" {
			q = q.Where("id < ?", p.After)
		}
		return q.Where("namespace = ?", namespace).Order("id DESC").Limit(int64(limit(p.Limit)))
	})
}
