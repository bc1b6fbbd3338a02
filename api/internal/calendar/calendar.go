// Package calendar finds the times that a schedule is due.
//
// It may import schema.
package calendar

import (
	"strings"
	"time"
	_ "time/tzdata" // A machine that has no zones of its own knows them all the same.

	cron "github.com/netresearch/go-cron"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
)

// Calendar tells when a schedule is due. It is safe for concurrent use.
type Calendar struct {
	zone  *time.Location
	times cron.Schedule
	// once: an hour that clocks show twice counts the first time only.
	once  bool
	every time.Duration
	from  time.Time
}

// crontab reads the fields of a crontab: no seconds, no zone, no intervals. A leap
// day is at most eight years ahead.
var crontab = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom | cron.Descriptor).
	WithMaxSearchYears(9)

// Of reads a schedule that was made at a time. CodeInvalid says which of its
// members is wrong.
func Of(s config.Schedule, made time.Time) (Calendar, error) {
	switch {
	case (s.Cron == "") == (s.Every == 0):
		return Calendar{}, schema.Errorf(schema.CodeInvalid, "a schedule has either a cron or every").At("/cron").
			Advise(`Such as "cron": "30 6 * * 1-5", or "every": 300 for every five minutes.`)
	case s.Every != 0 && s.Timezone != "":
		return Calendar{}, schema.Errorf(schema.CodeInvalid, "only a cron has a time zone").At("/timezone").
			Advise("Leave timezone out, or give a cron.")
	case s.Every != 0:
		return Calendar{every: time.Duration(s.Every) * time.Second, from: made.UTC().Truncate(time.Second)}, nil
	}
	return ofCron(s)
}

func ofCron(s config.Schedule) (Calendar, error) {
	zone := time.UTC
	if s.Timezone != "" {
		var err error
		// "Local" would be the zone of whichever machine asks.
		if zone, err = time.LoadLocation(s.Timezone); err != nil || s.Timezone == "Local" {
			return Calendar{}, schema.Errorf(schema.CodeInvalid, "the time zone is not known").At("/timezone").
				Advise("Give its name in the tz database, such as Europe/Berlin.")
		}
	}
	malformed := schema.Errorf(schema.CodeInvalid, "the cron is not one of five fields").At("/cron").
		Advise("Minute, hour, day of month, month and day of week, such as 30 6 * * 1-5; or @hourly, @daily, @weekly, @monthly, @yearly.")
	text := strings.TrimSpace(s.Cron)
	if strings.Contains(text, "=") || strings.HasPrefix(text, "@every") {
		return Calendar{}, malformed
	}
	times, err := crontab.Parse(text)
	if err != nil {
		return Calendar{}, malformed
	}
	c := Calendar{zone: zone, times: times, once: !hourly(text)}
	if c.Next(time.Now()).IsZero() {
		return Calendar{}, schema.Errorf(schema.CodeInvalid, "the cron names a day that never comes").At("/cron").
			Advise("Look at the day of month and the month.")
	}
	return c, nil
}

// hourly tells whether a cron names no hours: it then goes on through an hour
// that comes twice.
func hourly(text string) bool {
	parts := strings.Fields(text)
	return text == "@hourly" || len(parts) == 5 && strings.HasPrefix(parts[1], "*")
}

// Next is the first time after another, in UTC; the zero time when there is none.
func (c Calendar) Next(after time.Time) time.Time {
	if c.every > 0 {
		if after.Before(c.from) {
			return c.from.Add(c.every)
		}
		return c.from.Add((after.Sub(c.from)/c.every + 1) * c.every)
	}
	for at := after.In(c.zone); ; {
		next := c.times.Next(at)
		if !next.After(at) {
			return time.Time{}
		}
		if at = next; !c.once || !again(at) {
			return at.UTC()
		}
	}
}

// again tells whether clocks have shown the same time before, on the day that they
// are put back.
func again(at time.Time) bool {
	_, offset := at.Zone()
	_, before := at.Add(-3 * time.Hour).Zone()
	if before <= offset {
		return false
	}
	earlier := at.Add(-time.Duration(before-offset) * time.Second)
	return earlier.Format(time.DateTime) == at.Format(time.DateTime)
}
