package config

import "encoding/json"

// What a schedule does about a run that has not ended when the next is due.
const (
	// OverlapAllow begins the next run beside it; the default.
	OverlapAllow = "allow"
	// OverlapQueue begins the next run when it has ended.
	OverlapQueue = "queue"
	// OverlapSkip leaves the time out.
	OverlapSkip = "skip"
)

// DefaultCatchUp is for how long, in seconds, a time that nobody was there for is
// made up for.
const DefaultCatchUp = 3600

// Schedule is when a schedule fires, and what with: exactly one of Cron and Every
// is set.
type Schedule struct {
	Cron     string `json:"cron,omitempty" maxLength:"256" doc:"Five fields, minute, hour, day of month, month and day of week, or @hourly, @daily, @weekly, @monthly or @yearly. Days match when either of the two fields does, unless one is *."`
	Timezone string `json:"timezone,omitempty" maxLength:"64" doc:"Of a cron, such as Europe/Berlin; UTC when absent. A time that a change of clocks leaves out comes after it; one that comes twice is taken the first time."`
	Every    int    `json:"every,omitempty" minimum:"10" maximum:"31536000" doc:"Seconds from one time to the next, instead of a cron; counted from when the schedule was made."`
	CatchUp  int    `json:"catch_up,omitempty" minimum:"60" maximum:"604800" doc:"For how many seconds a time is made up for that nobody was there for, 3600 when absent. Later it is left out."`
	Overlap  string `json:"overlap,omitempty" enum:"allow,queue,skip" doc:"While the run before has not ended: allow, the default, begins another beside it; queue begins it after; skip leaves the time out."`
	// Input is the raw input of every run.
	Input json.RawMessage `json:"input,omitempty" doc:"Raw input of its runs, 64 KiB at most; null when absent."`
}

// With is the schedule with what another one gives: a cron takes the place of
// every and the other way round, and what it leaves out stays.
func (s Schedule) With(o Schedule) Schedule {
	switch {
	case o.Cron != "" && o.Every != 0:
		// Not both: whoever reads it refuses it.
		s.Cron, s.Every = o.Cron, o.Every
	case o.Cron != "":
		s.Cron, s.Every = o.Cron, 0
	case o.Every != 0:
		s.Cron, s.Timezone, s.Every = "", "", o.Every
	}
	if o.Timezone != "" {
		s.Timezone = o.Timezone
	}
	if o.CatchUp != 0 {
		s.CatchUp = o.CatchUp
	}
	if o.Overlap != "" {
		s.Overlap = o.Overlap
	}
	if len(o.Input) > 0 {
		s.Input = o.Input
	}
	return s
}

// Says tells whether anything is given.
func (s Schedule) Says() bool {
	return s.Cron != "" || s.Timezone != "" || s.Every != 0 || s.CatchUp != 0 || s.Overlap != "" || len(s.Input) > 0
}

// Value is the raw input of a run.
func (s Schedule) Value() json.RawMessage { return Event{Body: s.Input}.Input() }
