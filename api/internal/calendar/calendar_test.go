package calendar_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api/internal/calendar"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	out, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return out.UTC()
}

// TestNext: the times that follow, also where clocks change.
func TestNext(t *testing.T) {
	for name, c := range map[string]struct {
		schedule config.Schedule
		after    string
		want     []string
	}{
		"every minute": {config.Schedule{Cron: "* * * * *"}, "2026-11-28T20:00:30Z", []string{"2026-11-28T20:01:00Z", "2026-11-28T20:02:00Z"}},
		"weekdays":     {config.Schedule{Cron: "30 6 * * 1-5"}, "2026-11-27T06:30:00Z", []string{"2026-11-30T06:30:00Z", "2026-12-01T06:30:00Z"}},
		"a zone":       {config.Schedule{Cron: "0 9 * * *", Timezone: "Asia/Tokyo"}, "2026-11-28T00:00:00Z", []string{"2026-11-29T00:00:00Z"}},
		"either day":   {config.Schedule{Cron: "0 0 13 * 5"}, "2026-11-28T00:00:00Z", []string{"2026-12-04T00:00:00Z", "2026-12-11T00:00:00Z", "2026-12-13T00:00:00Z"}},
		"a leap day":   {config.Schedule{Cron: "0 0 29 2 *"}, "2096-03-01T00:00:00Z", []string{"2104-02-29T00:00:00Z"}},
		"a name":       {config.Schedule{Cron: "@daily", Timezone: "Europe/Berlin"}, "2026-07-01T12:00:00Z", []string{"2026-07-01T22:00:00Z"}},
		// At 02:00 clocks show 03:00.
		"an hour left out": {
			config.Schedule{Cron: "30 2 * * *", Timezone: "Europe/Berlin"},
			"2026-03-28T12:00:00Z",
			[]string{"2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"},
		},
		// At 03:00 clocks show 02:00 again.
		"an hour twice": {
			config.Schedule{Cron: "30 2 * * *", Timezone: "Europe/Berlin"},
			"2026-10-24T12:00:00Z",
			[]string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		},
		"an hour twice, half past each": {
			config.Schedule{Cron: "30 * * * *", Timezone: "Europe/Berlin"},
			"2026-10-24T23:40:00Z",
			[]string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"},
		},
		"an interval":          {config.Schedule{Every: 90}, "2026-11-28T20:01:30Z", []string{"2026-11-28T20:03:00Z", "2026-11-28T20:04:30Z"}},
		"before an interval":   {config.Schedule{Every: 90}, "2026-11-28T19:00:00Z", []string{"2026-11-28T20:01:30Z"}},
		"far into an interval": {config.Schedule{Every: 7 * 86400}, "2036-11-28T00:00:00Z", []string{"2036-11-29T20:00:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			times, after := of(t, c.schedule), at(t, c.after)
			for _, want := range c.want {
				after = times.Next(after)
				require.Equal(t, want, after.Format(time.RFC3339))
			}
		})
	}
}

func of(t *testing.T, s config.Schedule) calendar.Calendar {
	t.Helper()
	c, err := calendar.Of(s, at(t, "2026-11-28T20:00:00Z"))
	require.NoError(t, err)
	return c
}

// TestRefused: what is no schedule is refused with its place, and never quoted.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		schedule config.Schedule
		at       string
	}{
		"neither":         {config.Schedule{}, "/cron"},
		"both":            {config.Schedule{Cron: "@daily", Every: 60}, "/cron"},
		"six fields":      {config.Schedule{Cron: "0 0 0 * * *"}, "/cron"},
		"words":           {config.Schedule{Cron: "every day at nine"}, "/cron"},
		"a zone inside":   {config.Schedule{Cron: "CRON_TZ=Asia/Tokyo 0 9 * * *"}, "/cron"},
		"half a zone":     {config.Schedule{Cron: "TZ=0"}, "/cron"},
		"an @every":       {config.Schedule{Cron: "@every 1ms"}, "/cron"},
		"no such minute":  {config.Schedule{Cron: "60 * * * *"}, "/cron"},
		"no such day":     {config.Schedule{Cron: "0 0 30 2 *"}, "/cron"},
		"no such zone":    {config.Schedule{Cron: "@daily", Timezone: "Mars/Base"}, "/timezone"},
		"a path":          {config.Schedule{Cron: "@daily", Timezone: "../../etc/passwd"}, "/timezone"},
		"the machine's":   {config.Schedule{Cron: "@daily", Timezone: "Local"}, "/timezone"},
		"a zone of every": {config.Schedule{Every: 60, Timezone: "UTC"}, "/timezone"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := calendar.Of(c.schedule, time.Now())
			var problem *schema.Error
			require.ErrorAs(t, err, &problem)
			assert.Equal(t, schema.CodeInvalid, problem.Code)
			assert.Equal(t, c.at, problem.Pointer)
			if c.schedule.Cron != "" && !strings.HasPrefix(c.schedule.Cron, "@") {
				assert.NotContains(t, err.Error(), c.schedule.Cron)
			}
		})
	}
}

// FuzzCron: whatever is given is refused, or has times that go on.
func FuzzCron(f *testing.F) {
	for _, cron := range []string{"* * * * *", "*/7 3-5 1,15 * 1-5", "@monthly", "TZ=", "0 0 31 2 *", "5/0 * * * *", "H H * * *", "0 0 L * *", "0 0 1W * *"} {
		f.Add(cron, "Europe/Berlin", int64(1743000000))
	}
	f.Fuzz(func(t *testing.T, text, zone string, from int64) {
		c, err := calendar.Of(config.Schedule{Cron: text, Timezone: zone}, time.Now())
		if err != nil {
			return
		}
		last := time.Unix(from%4e9, 0).UTC()
		for range 5 {
			next := c.Next(last)
			if next.IsZero() {
				return
			}
			if !next.After(last) {
				t.Fatalf("%s is not after %s", next, last)
			}
			last = next
		}
	})
}
