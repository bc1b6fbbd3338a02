package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/tenonhq/tenon/schema"
)

// Timer is when a schedule is next looked at. What it does stands in its cell:
// this row is made from that one, and is right again after the next look.
type Timer struct {
	Schedule     string
	Organization string
	// Made is when the schedule's row was written that Due was made from.
	Made time.Time
	// Due is the time that it fires for next; the zero time while that is not known.
	Due time.Time
	// Look is when it is looked at. While it is claimed, that is when the claim ends.
	Look time.Time
	// Left counts the times that were left out since LeftAt, when such were put on
	// record last; the zero time for never since it fired.
	Left   int64
	LeftAt time.Time
}

const timerColumns = "timers.schedule, timers.organization, timers.made_at, timers.due_at, timers.look_at, timers.left_count, timers.left_at"

// timerScan takes a row of timerColumns.
type timerScan struct {
	Timer
	made, due, look, left int64
}

func (s *timerScan) into() []any {
	return []any{&s.Schedule, &s.Organization, &s.made, &s.due, &s.look, &s.Left, &s.left}
}

func (s *timerScan) timer() Timer {
	t := s.Timer
	t.Made, t.Due, t.Look, t.LeftAt = fromMicros(s.made), fromMicros(s.due), fromMicros(s.look), fromMicros(s.left)
	return t
}

// ExpectTimer has a schedule looked at by a time whatever happens until then: it
// is called before a schedule is changed, so that a change whose timer is never
// set does not stay unknown. It ends what claim there is.
func (c *Control) ExpectTimer(ctx context.Context, org, schedule string, by time.Time) error {
	return c.s.w.do(ctx, "expect the timer", func(t *txn) error {
		_, _, err := t.Exec("INSERT INTO timers (schedule, organization, look_at) VALUES (?, ?, ?) ON CONFLICT (schedule) DO UPDATE SET "+
			"look_at = CASE WHEN timers.look_at > excluded.look_at THEN excluded.look_at ELSE timers.look_at - 1 END", schedule, org, micros(by))
		return err
	})
}

// SetTimer sets when a schedule is due next, by its row that was written at made,
// unless it was set by a later row. It ends what claim there is.
func (c *Control) SetTimer(ctx context.Context, org, schedule string, made, due time.Time) error {
	return c.s.w.do(ctx, "set the timer", func(t *txn) error {
		_, _, err := t.Exec("INSERT INTO timers (schedule, organization, made_at, due_at, look_at) VALUES (?, ?, ?, ?, ?) "+
			"ON CONFLICT (schedule) DO UPDATE SET made_at = excluded.made_at, due_at = excluded.due_at, look_at = excluded.look_at "+
			"WHERE timers.made_at <= excluded.made_at", schedule, org, micros(made), micros(due), micros(due))
		return err
	})
}

// ClaimTimer gives the caller the schedule whose look is due for longest, or nil.
// Nobody else is given it before until. Schedules of organizations that are not
// active wait, and so do those of the organizations that are excepted.
func (c *Control) ClaimTimer(ctx context.Context, now, until time.Time, except []string) (claimed *Timer, err error) {
	query, args := "SELECT "+timerColumns+" FROM timers JOIN cells ON cells.organization = timers.organization "+
		"WHERE timers.look_at <= ? AND cells.state = ?", []any{micros(now), CellActive}
	if len(except) > 0 {
		query += " AND timers.organization NOT IN (?" + strings.Repeat(", ?", len(except)-1) + ")"
		for _, org := range except {
			args = append(args, org)
		}
	}
	err = c.s.w.do(ctx, "claim a timer", func(t *txn) error {
		claimed = nil
		var s timerScan
		err := t.QueryRow(query+" ORDER BY timers.look_at LIMIT 1", args, s.into()...)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		n, _, err := t.Exec("UPDATE timers SET look_at = ? WHERE schedule = ? AND look_at = ?", micros(until), s.Schedule, s.look)
		if err != nil || n == 0 {
			return err
		}
		found := s.timer()
		found.Look = fromMicros(micros(until))
		claimed = &found
		return nil
	})
	return claimed, err
}

// MoveTimer sets a timer that the caller has claimed, claimed as it was given;
// all but its names may change. CodeConflict means that the claim is the
// caller's no more.
func (c *Control) MoveTimer(ctx context.Context, claimed, to Timer) error {
	return c.s.w.do(ctx, "move the timer", func(t *txn) error {
		n, _, err := t.Exec("UPDATE timers SET made_at = ?, due_at = ?, look_at = ?, left_count = ?, left_at = ? WHERE schedule = ? AND look_at = ?",
			micros(to.Made), micros(to.Due), micros(to.Look), to.Left, micros(to.LeftAt), claimed.Schedule, micros(claimed.Look))
		if err == nil && n == 0 {
			t.Writes--
			return schema.Errorf(schema.CodeConflict, "the timer was set by somebody else in the meantime")
		}
		return err
	})
}

// EndTimer ends the looks at a schedule that the caller has claimed. It does
// nothing when the claim is the caller's no more: the timer was set anew.
func (c *Control) EndTimer(ctx context.Context, claimed Timer) error {
	return c.s.w.do(ctx, "end the timer", func(t *txn) error {
		_, _, err := t.Exec("DELETE FROM timers WHERE schedule = ? AND look_at = ?", claimed.Schedule, micros(claimed.Look))
		return err
	})
}

// PutOffTimers puts off the looks that are due at schedules of organizations that
// are not active.
func (c *Control) PutOffTimers(ctx context.Context, now, to time.Time) error {
	return c.s.w.do(ctx, "put timers off", func(t *txn) error {
		_, _, err := t.Exec("UPDATE timers SET look_at = ? WHERE look_at <= ? AND organization NOT IN (SELECT organization FROM cells WHERE state = ?)",
			micros(to), micros(now), CellActive)
		return err
	})
}

// NextTimer is when the first look is due; the zero time for none.
func (c *Control) NextTimer(ctx context.Context) (time.Time, error) {
	rows, err := c.s.Query(ctx, "SELECT COALESCE(MIN(look_at), 0) FROM timers")
	at, err := single("find the next timer", rows, err, func(row scanner) (int64, error) {
		var at int64
		return at, row.Scan(&at)
	})
	return fromMicros(at), err
}

// ListTimers lists the timers of an organization.
func (c *Control) ListTimers(ctx context.Context, org string) ([]Timer, error) {
	rows, err := c.s.Query(ctx, "SELECT "+timerColumns+" FROM timers WHERE organization = ?", org)
	return collect("list the timers", rows, err, func(row scanner) (Timer, error) {
		var s timerScan
		err := row.Scan(s.into()...)
		return s.timer(), err
	})
}
