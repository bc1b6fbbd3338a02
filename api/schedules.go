package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/api/internal/calendar"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	// maxSchedules bounds the schedules of a namespace.
	maxSchedules = 1000
	// maxInput bounds the input of a schedule, in bytes.
	maxInput = 64 << 10
)

// Schedule starts runs of a flow at set times.
type Schedule struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Flow string `json:"flow" doc:"Id of the flow that it starts."`
	config.Schedule
	State     string     `json:"state" enum:"active,suspended"`
	NextAt    *time.Time `json:"next_at,omitempty" doc:"When it fires next."`
	LastEvent string     `json:"last_event,omitempty" doc:"Id of the event that it made last; where one schedule is shown."`
	CreatedAt time.Time  `json:"created_at"`
}

type createSchedule struct {
	Body struct {
		Name string `json:"name" pattern:"^[a-z][a-z0-9_-]{0,62}$" patternDescription:"lower-case letters, digits, _ and -"`
		Flow string `json:"flow" minLength:"1" maxLength:"256" doc:"Id or name of a flow."`
		config.Schedule
	}
}

type updateSchedule struct {
	SchedulePath
	Body struct {
		State string `json:"state,omitempty" enum:"active,suspended" doc:"A suspended schedule does not fire, and makes up for nothing when it is active again."`
		config.Schedule
	}
}

// SchedulePath names a schedule. Exported: the framework fills in no unexported
// embedded parameters.
type SchedulePath struct {
	Schedule string `path:"schedule" maxLength:"64"`
}

func (s *Server) registerSchedules() {
	tags := []string{"Schedules"}
	read := access{scope: scopeNamespace, permission: SchedulesRead}
	write := access{scope: scopeNamespace, permission: SchedulesWrite}
	handle(s, huma.Operation{
		OperationID: "create-schedule", Method: http.MethodPost, Path: "/v1/schedules", Tags: tags,
		Summary: "Create a schedule", DefaultStatus: http.StatusCreated,
		Description: "Each time that it is due, an event is put into the inbox, once, and starts a run of the flow's newest version. " +
			"Names are shared with webhook sources.",
	}, write, s.createSchedule)
	handle(s, huma.Operation{
		OperationID: "list-schedules", Method: http.MethodGet, Path: "/v1/schedules", Tags: tags, Summary: "List schedules",
	}, read, s.listSchedules)
	handle(s, huma.Operation{
		OperationID: "get-schedule", Method: http.MethodGet, Path: "/v1/schedules/{schedule}", Tags: tags, Summary: "Show a schedule",
	}, read, func(ctx context.Context, c *caller, in *SchedulePath) (*Output[Schedule], error) {
		row, err := c.schedule(ctx, in.Schedule)
		if err != nil {
			return nil, err
		}
		out, err := s.answerSchedule(ctx, c, row)
		if err != nil {
			return nil, err
		}
		last, err := c.cell.Door().LastScheduled(ctx, row.ID)
		if err != nil && schema.CodeOf(err) != schema.CodeNotFound {
			return nil, err
		}
		out.Body.LastEvent = last.ID
		return out, nil
	})
	handle(s, huma.Operation{
		OperationID: "update-schedule", Method: http.MethodPatch, Path: "/v1/schedules/{schedule}", Tags: tags,
		Summary:     "Change a schedule, suspend it or let it go on",
		Description: "What is left out stays; a cron takes the place of every, and every that of a cron and its time zone.",
	}, write, s.updateSchedule)
	handle(s, huma.Operation{
		OperationID: "delete-schedule", Method: http.MethodDelete, Path: "/v1/schedules/{schedule}", Tags: tags,
		Summary: "Delete a schedule", DefaultStatus: http.StatusNoContent,
		Description: "Runs that it has started go on.",
	}, write, s.deleteSchedule)
}

// schedule finds a schedule of the caller's namespace.
func (c *caller) schedule(ctx context.Context, id string) (store.Source, error) {
	return c.sourceOf(ctx, schema.PrefixSchedule, id, schema.Errorf(schema.CodeNotFound, "there is no such schedule"))
}

func (c *caller) showSchedule(row store.Source, timers map[string]store.Timer) (Schedule, error) {
	when, err := c.cell.times(row)
	if err != nil {
		return Schedule{}, err
	}
	shown := Schedule{ID: row.ID, Name: row.Name, Flow: row.Flow, Schedule: when, State: row.State, CreatedAt: row.CreatedAt}
	if timer, ok := timers[row.ID]; ok {
		if row.State == store.SourceActive && !timer.Due.IsZero() {
			shown.NextAt = &timer.Due
		}
	}
	return shown, nil
}

func (s *Server) timers(ctx context.Context, org string) (map[string]store.Timer, error) {
	all, err := s.config.Control.ListTimers(ctx, org)
	byID := make(map[string]store.Timer, len(all))
	for _, t := range all {
		byID[t.Schedule] = t
	}
	return byID, err
}

func (s *Server) answerSchedule(ctx context.Context, c *caller, row store.Source) (*Output[Schedule], error) {
	timers, err := s.timers(ctx, c.org)
	if err != nil {
		return nil, err
	}
	shown, err := c.showSchedule(row, timers)
	return answer(shown), err
}

func (s *Server) listSchedules(ctx context.Context, c *caller, in *Paging) (*Output[List[Schedule]], error) {
	rows, err := c.cell.Door().ListSchedules(ctx, c.namespace.ID, in.store())
	if err != nil {
		return nil, err
	}
	timers, err := s.timers(ctx, c.org)
	if err != nil {
		return nil, err
	}
	shown := make(map[string]Schedule, len(rows))
	for _, row := range rows {
		if shown[row.ID], err = c.showSchedule(row, timers); err != nil {
			return nil, err
		}
	}
	return answer(listed(rows, in.Limit, func(r store.Source) Schedule { return shown[r.ID] }, func(r store.Source) string { return r.ID })), nil
}

func (s *Server) createSchedule(ctx context.Context, c *caller, in *createSchedule) (*Output[Schedule], error) {
	flow, err := c.flowOf(ctx, in.Body.Flow)
	if err != nil {
		return nil, err
	}
	there, err := c.cell.Door().CountSchedules(ctx, c.namespace.ID)
	if err != nil {
		return nil, err
	}
	if there >= maxSchedules {
		return nil, schema.Errorf(schema.CodeConflict, "a namespace has %d schedules at most", maxSchedules).
			Advise("Delete one that is not needed.")
	}
	now, when := s.now().Truncate(time.Microsecond), in.Body.Schedule
	calendar, err := c.timed(ctx, when, now)
	if err != nil {
		return nil, err
	}
	// A schedule whose timer is lost is found by the sweep.
	if err := s.config.Control.ScheduleSweep(ctx, c.org, now.Add(sweepEvery)); err != nil {
		return nil, err
	}
	row := store.Source{
		ID: schema.NewID(schema.PrefixSchedule), Namespace: c.namespace.ID, Name: in.Body.Name, Flow: flow.ID,
		Verifier: store.VerifierClock, State: store.SourceActive, CreatedAt: now, UpdatedAt: now,
	}
	if row.ConfigSealed, err = c.cell.sealJSON(place.Source(c.org, row.ID), when); err != nil {
		return nil, err
	}
	draft, err := s.audit(c, "schedule.create", row.ID, map[string]any{"name": row.Name, "flow": flow.ID, "times": plainly(when)})
	if err != nil {
		return nil, err
	}
	err = s.retime(ctx, c, row, calendar.Next(now), func() error { return c.cell.Door().CreateSource(ctx, row, draft) })
	if err != nil {
		return nil, err
	}
	return s.answerSchedule(ctx, c, row)
}

// timed reads a schedule that is to be kept.
func (c *caller) timed(ctx context.Context, when config.Schedule, made time.Time) (calendar.Calendar, error) {
	if len(when.Input) > maxInput {
		return calendar.Calendar{}, schema.Errorf(schema.CodeTooLarge, "the input of a schedule is larger than 64 KiB").At("/input").
			Advise("Have the flow fetch what it needs.")
	}
	if err := c.cell.room.Check(ctx); err != nil {
		return calendar.Calendar{}, err
	}
	return calendar.Of(when, made)
}

// plainly is a schedule for the audit log, without what its runs are given.
func plainly(when config.Schedule) config.Schedule {
	when.Input = nil
	return when
}

// retime changes a schedule to a row, by which it is next due at a time, or never.
// It is looked at all the same should the process die in between, and its timer
// made from what its row says then, or ended.
func (s *Server) retime(ctx context.Context, c *caller, to store.Source, next time.Time, change func() error) error {
	if err := s.config.Control.ExpectTimer(ctx, c.org, to.ID, s.now().Add(timerLease)); err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	if next.IsZero() {
		return nil
	}
	if err := s.config.Control.SetTimer(ctx, c.org, to.ID, to.UpdatedAt, next); err != nil {
		return err
	}
	s.clock.set()
	return nil
}

func (s *Server) updateSchedule(ctx context.Context, c *caller, in *updateSchedule) (*Output[Schedule], error) {
	row, err := c.schedule(ctx, in.Schedule)
	if err != nil {
		return nil, err
	}
	when, err := c.cell.times(row)
	if err != nil {
		return nil, err
	}
	now := s.now().Truncate(time.Microsecond)
	to, detail := row, map[string]any{"name": row.Name}
	to.UpdatedAt = now
	if in.Body.Says() {
		when = when.With(in.Body.Schedule)
		if to.ConfigSealed, err = c.cell.sealJSON(place.Source(c.org, row.ID), when); err != nil {
			return nil, err
		}
		detail["times"] = plainly(when)
	}
	if in.Body.State != "" {
		to.State = in.Body.State
		detail["state"] = to.State
	}
	if len(detail) == 1 {
		return nil, schema.Errorf(schema.CodeInvalid, "there is nothing to change").Advise("Send state, or what says when it fires and what with.")
	}
	calendar, err := c.timed(ctx, when, row.CreatedAt)
	if err != nil {
		return nil, err
	}
	draft, err := s.audit(c, "schedule.update", row.ID, detail)
	if err != nil {
		return nil, err
	}
	next := time.Time{}
	if to.State == store.SourceActive {
		next = calendar.Next(now)
	}
	err = s.retime(ctx, c, to, next, func() error { return c.cell.Door().ChangeSource(ctx, row, to, draft) })
	if err != nil {
		return nil, err
	}
	return s.answerSchedule(ctx, c, to)
}

func (s *Server) deleteSchedule(ctx context.Context, c *caller, in *SchedulePath) (*nothing, error) {
	row, err := c.schedule(ctx, in.Schedule)
	if err != nil {
		return nil, err
	}
	draft, err := s.audit(c, "schedule.delete", row.ID, map[string]any{"name": row.Name})
	if err != nil {
		return nil, err
	}
	return nil, s.retime(ctx, c, row, time.Time{}, func() error {
		return c.cell.Door().SetSourceState(ctx, row.Namespace, row.ID, store.SourceDeleted, draft)
	})
}
