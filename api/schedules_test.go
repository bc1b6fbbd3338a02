package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

type schedule struct {
	api.Schedule
}

// schedule makes a schedule of the billing flow, and answers it.
func (o *tenant) schedule(body string) (made schedule) {
	o.p.t.Helper()
	o.p.must(http.StatusCreated, o.p.call("POST", "/v1/schedules", o.bound, body), &made)
	return made
}

func (o *tenant) shown(id string) (s schedule) {
	o.p.t.Helper()
	o.p.must(http.StatusOK, o.p.call("GET", "/v1/schedules/"+id, o.bound, ""), &s)
	return s
}

// fired lists the events of a schedule, the oldest first.
func (o *tenant) fired(id string) (events []api.EventDetail) {
	o.p.t.Helper()
	var page api.List[api.Event]
	o.p.must(http.StatusOK, o.p.call("GET", "/v1/events?limit=200", o.bound, ""), &page)
	for _, e := range page.Items {
		if e.Source == id {
			var whole api.EventDetail
			o.p.must(http.StatusOK, o.p.call("GET", "/v1/events/"+e.ID, o.bound, ""), &whole)
			events = append([]api.EventDetail{whole}, events...)
		}
	}
	return events
}

// audited counts the entries of an act in the organization's chains.
func (o *tenant) audited(action string) (n int) {
	o.p.t.Helper()
	for _, e := range o.p.entries(o.org) {
		if e.Action == action {
			n++
		}
	}
	return n
}

// at stops the clock at a time, and fires what is due by then.
func (p *platform) at(to time.Time) {
	p.t.Helper()
	p.clock.set(to)
	require.NoError(p.t, p.api.FireDue(p.t.Context()), "%s", p.logs)
}

func timed(t *testing.T, b storetest.Backend) (*platform, *tenant) {
	t.Helper()
	p := newPlatformOn(t, t.TempDir(), b, func(c *api.Config) { c.Limits.Clock = time.Hour })
	p.clock.set(noon)
	o := p.tenant("acme")
	o.deploy(billing)
	return p, o
}

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// TestSchedule: each time makes one event of the flow's newest version, and wakes
// the cell.
func TestSchedule(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p, o := timed(t, b)
		made := o.schedule(`{"name":"nightly","flow":"billing","cron":"30 * * * *","timezone":"Europe/Berlin","input":{"number":7}}`)
		require.Equal(t, noon.Add(30*time.Minute), made.NextAt.UTC())
		rings := p.rung(o.org)
		p.at(noon.Add(29 * time.Minute))
		require.Empty(t, o.fired(made.ID))
		p.at(noon.Add(30 * time.Minute))
		p.at(noon.Add(30*time.Minute + time.Second))
		events := o.fired(made.ID)
		require.Len(t, events, 1)
		require.Greater(t, p.rung(o.org), rings)
		assert.Equal(t, config.KindSchedule, events[0].Kind)
		assert.JSONEq(t, `{"number":7}`, string(events[0].Body))
		assert.Equal(t, noon.Add(30*time.Minute), events[0].Due.UTC())
		now := o.shown(made.ID)
		assert.Equal(t, events[0].ID, now.LastEvent)
		assert.Equal(t, noon.Add(90*time.Minute), now.NextAt.UTC())

		// Nobody was there for three of them: they are made up for, one event each.
		p.at(noon.Add(30*time.Minute + 50*time.Minute + 3*time.Hour))
		events = o.fired(made.ID)
		require.Len(t, events, 2, "within an hour is made up for")
		assert.Equal(t, noon.Add(3*time.Hour+30*time.Minute), events[1].Due.UTC())
		assert.Equal(t, 1, o.audited("schedule.leave_out"))
		o.p.must(http.StatusOK, o.p.call("PATCH", "/v1/schedules/"+made.ID, o.bound, `{"catch_up":86400}`), nil)
		p.at(noon.Add(8*time.Hour + 45*time.Minute))
		events = o.fired(made.ID)
		require.Len(t, events, 7)
		for i, e := range events[1:] {
			assert.Equal(t, noon.Add(time.Duration(3+i)*time.Hour+30*time.Minute), e.Due.UTC())
		}
	})
}

// TestScheduleChanged: a change takes effect at once, and fires for no time that
// passed before it.
func TestScheduleChanged(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p, o := timed(t, b)
		made := o.schedule(`{"name":"often","flow":"billing","every":60}`)
		p.at(noon.Add(time.Minute))
		require.Len(t, o.fired(made.ID), 1)
		p.must(http.StatusOK, p.call("PATCH", "/v1/schedules/"+made.ID, o.bound, `{"state":"suspended"}`), nil)
		require.Nil(t, o.shown(made.ID).NextAt)
		p.at(noon.Add(5 * time.Minute))
		require.Len(t, o.fired(made.ID), 1)
		p.must(http.StatusOK, p.call("PATCH", "/v1/schedules/"+made.ID, o.bound, `{"state":"active"}`), nil)
		p.at(noon.Add(5*time.Minute + 59*time.Second))
		require.Len(t, o.fired(made.ID), 1, "nothing is made up for")
		p.at(noon.Add(6 * time.Minute))
		require.Len(t, o.fired(made.ID), 2)
		var changed schedule
		p.must(http.StatusOK, p.call("PATCH", "/v1/schedules/"+made.ID, o.bound, `{"cron":"@hourly","input":"late"}`), &changed)
		assert.Equal(t, noon.Add(time.Hour), changed.NextAt.UTC())
		assert.Zero(t, changed.Every)
		p.at(noon.Add(59 * time.Minute))
		require.Len(t, o.fired(made.ID), 2)
		p.at(noon.Add(time.Hour))
		events := o.fired(made.ID)
		require.Len(t, events, 3)
		assert.JSONEq(t, `"late"`, string(events[2].Body))
		p.must(http.StatusNoContent, p.call("DELETE", "/v1/schedules/"+made.ID, o.bound, ""), nil)
		p.must(http.StatusNotFound, p.call("GET", "/v1/schedules/"+made.ID, o.bound, ""), nil)
		p.at(noon.Add(3 * time.Hour))
		require.Len(t, o.fired(made.ID), 3)
		timers, err := p.control.ListTimers(t.Context(), o.org)
		require.NoError(t, err)
		require.Empty(t, timers)
		// The name is free again.
		o.schedule(`{"name":"often","flow":"billing","every":60}`)
	})
}

// TestScheduleOverlaps: what is done about a run that has not ended.
func TestScheduleOverlaps(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p, o := timed(t, b)
		skip := o.schedule(`{"name":"skip","flow":"billing","every":60,"overlap":"skip"}`)
		queue := o.schedule(`{"name":"queue","flow":"billing","every":60,"overlap":"queue"}`)
		p.at(noon.Add(time.Minute))
		first := o.fired(skip.ID)
		require.Len(t, first, 1)
		p.at(noon.Add(2 * time.Minute))
		require.Len(t, o.fired(skip.ID), 1, "its run has not even begun")
		run := o.run(first[0].ID, store.RunRunning)
		p.at(noon.Add(3 * time.Minute))
		require.Len(t, o.fired(skip.ID), 1)
		p.cellEnds(o.org, run, store.RunCompleted, noon.Add(3*time.Minute))
		p.at(noon.Add(4 * time.Minute))
		require.Len(t, o.fired(skip.ID), 2)
		assert.Equal(t, 2, o.audited("schedule.leave_out"))

		queued := o.fired(queue.ID)
		require.Len(t, queued, 4)
		keys := map[string]bool{}
		for _, e := range queued {
			row, err := p.cells[o.org].Door().GetEvent(t.Context(), o.namespace, e.ID)
			require.NoError(t, err)
			keys[row.OrderKey] = true
		}
		assert.Len(t, keys, 1)
		assert.NotContains(t, keys, "")
	})
}

// TestScheduleOfAPausedFlow: its times are left out, and told so.
func TestScheduleOfAPausedFlow(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p, o := timed(t, b)
		made := o.schedule(`{"name":"often","flow":"billing","every":60}`)
		p.must(http.StatusOK, p.call("PATCH", "/v1/flows/billing", o.bound, `{"state":"paused"}`), nil)
		p.at(noon.Add(2 * time.Minute))
		require.Empty(t, o.fired(made.ID))
		assert.Equal(t, 1, o.audited("schedule.leave_out"), "the others are counted")
		p.must(http.StatusOK, p.call("PATCH", "/v1/flows/billing", o.bound, `{"state":"active"}`), nil)
		p.at(noon.Add(3 * time.Minute))
		require.Len(t, o.fired(made.ID), 1)
		assert.Equal(t, 2, o.audited("schedule.leave_out"))
	})
}

// TestSchedulesAreFair: an organization with much to make up for, or whose databases
// hang, holds up no other.
func TestSchedulesAreFair(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p, busy := timed(t, b)
		for i := range 4 {
			busy.schedule(`{"name":"often-` + fmt.Sprint(i) + `","flow":"billing","every":10,"catch_up":86400}`)
		}
		other := p.tenant("globex")
		other.deploy(billing)
		hourly := other.schedule(`{"name":"hourly","flow":"billing","cron":"0 13 * * *"}`)
		p.clock.set(noon.Add(time.Hour))
		// One look each: what is made up for does not come before what is due since.
		for range 3 {
			require.NoError(t, p.api.FireOnce(t.Context()))
		}
		require.Len(t, other.fired(hourly.ID), 1)

		// While one is looked at, no other schedule of its organization is claimed.
		claimed, err := p.control.ClaimTimer(t.Context(), noon.Add(2*time.Hour), noon.Add(3*time.Hour), []string{busy.org})
		require.NoError(t, err)
		require.Nil(t, claimed)
	})
}

// TestSchedulesBesideAHangingDatabase: an organization whose database does not
// answer has its schedules wait, and nobody else's.
func TestSchedulesBesideAHangingDatabase(t *testing.T) {
	t.Parallel()
	b := storetest.PostgreSQL(t)
	p, hangs := timed(t, b)
	other := p.tenant("globex")
	other.deploy(billing)
	for i := range 20 {
		hangs.schedule(`{"name":"often-` + fmt.Sprint(i) + `","flow":"billing","every":60}`)
	}
	made := other.schedule(`{"name":"often","flow":"billing","every":60}`)
	tx, err := b.Administrator(t, p.made[hangs.org], store.ChainDoor).BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "LOCK TABLE sources IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	p.clock.set(noon.Add(time.Minute))
	ended := make(chan error, 1)
	go func() { ended <- p.api.FireDue(t.Context()) }()
	require.Eventually(t, func() bool { return len(other.fired(made.ID)) == 1 }, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, tx.Rollback())
	require.NoError(t, <-ended)
	p.at(noon.Add(time.Minute))
	var page api.List[api.Schedule]
	p.must(http.StatusOK, p.call("GET", "/v1/schedules?limit=200", hangs.bound, ""), &page)
	require.Len(t, page.Items, 20)
	for _, s := range page.Items {
		require.Len(t, hangs.fired(s.ID), 1, s.Name)
	}
}

// TestScheduleTwice: two processes that fire at once make one event of each time.
func TestScheduleTwice(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p, o := timed(t, b)
		made := o.schedule(`{"name":"often","flow":"billing","every":10,"catch_up":600}`)
		other, err := api.New(p.config)
		require.NoError(t, err)
		defer func() { require.NoError(t, other.Close()) }()
		p.clock.set(noon.Add(5 * time.Minute))
		var both sync.WaitGroup
		for _, s := range []*api.Server{p.api, other} {
			both.Go(func() { assert.NoError(t, s.FireDue(t.Context())) })
		}
		both.Wait()
		// What one has begun with may go on after the other has found nothing left.
		require.Eventually(t, func() bool { return len(o.fired(made.ID)) >= 30 }, 10*time.Second, 10*time.Millisecond)
		p.at(noon.Add(5 * time.Minute))
		events := o.fired(made.ID)
		require.Len(t, events, 30)
		for i, e := range events {
			assert.Equal(t, noon.Add(time.Duration(i+1)*10*time.Second), e.Due.UTC())
		}
		// One that was made, and whose timer was not moved, is not made again.
		require.NoError(t, p.control.SetTimer(t.Context(), o.org, made.ID, made.CreatedAt, noon.Add(5*time.Minute)))
		rings := p.rung(o.org)
		p.at(noon.Add(5*time.Minute + time.Second))
		require.Len(t, o.fired(made.ID), 30)
		require.Greater(t, p.rung(o.org), rings, "its cell may not have been woken for it")
	})
}

// TestScheduleLeftHalfDone: a process that dies while a schedule is made, changed
// or deleted leaves one that fires as its row says, or none.
func TestScheduleLeftHalfDone(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p, o := timed(t, b)
		ctx := t.Context()
		// Its row was never written.
		require.NoError(t, p.control.ExpectTimer(ctx, o.org, "sched_01h455vb4pex5vsknk084sn02q", noon.Add(30*time.Second)))
		p.at(noon.Add(time.Minute))
		timers, err := p.control.ListTimers(ctx, o.org)
		require.NoError(t, err)
		require.Empty(t, timers)

		// Its row was written, and its timer was not set.
		made := o.schedule(`{"name":"often","flow":"billing","every":60}`)
		claimed, err := p.control.ClaimTimer(ctx, noon.Add(time.Hour), noon.Add(2*time.Hour), nil)
		require.NoError(t, err)
		require.NoError(t, p.control.EndTimer(ctx, *claimed))
		require.NoError(t, p.control.ExpectTimer(ctx, o.org, made.ID, noon.Add(90*time.Second)))
		p.at(noon.Add(90 * time.Second))
		require.Empty(t, o.fired(made.ID))
		require.Equal(t, noon.Add(2*time.Minute), o.shown(made.ID).NextAt.UTC())
		p.at(noon.Add(3 * time.Minute))
		require.NotEmpty(t, o.fired(made.ID))

		// Its timer was lost: the databases are of another time. The sweep finds it.
		claimed, err = p.control.ClaimTimer(ctx, noon.Add(time.Hour), noon.Add(2*time.Hour), nil)
		require.NoError(t, err)
		require.NoError(t, p.control.EndTimer(ctx, *claimed))
		before := len(o.fired(made.ID))
		require.NoError(t, p.control.ScheduleSweep(ctx, o.org, noon.Add(3*time.Minute)))
		require.NoError(t, p.api.SweepDue(ctx))
		p.at(noon.Add(4 * time.Minute))
		p.at(noon.Add(6 * time.Minute))
		require.Greater(t, len(o.fired(made.ID)), before)
	})
}

// TestSchedulesRefused: what cannot be made says where it is wrong.
func TestSchedulesRefused(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	o.deploy(billing)
	for body, at := range map[string]string{
		`{"name":"x","flow":"billing"}`:                                   "/cron",
		`{"name":"x","flow":"billing","cron":"@daily","every":60}`:        "/cron",
		`{"name":"x","flow":"billing","cron":"61 * * * *"}`:               "/cron",
		`{"name":"x","flow":"billing","cron":"@daily","timezone":"Moon"}`: "/timezone",
		`{"name":"x","flow":"nothing","cron":"@daily"}`:                   "/flow",
	} {
		assert.Equal(t, at, p.call("POST", "/v1/schedules", o.bound, body).problem(t).Pointer, body)
	}
	for _, body := range []string{
		`{"name":"x","flow":"billing","every":1}`, `{"name":"x","flow":"billing","every":60,"overlap":"maybe"}`,
		`{"name":"x","flow":"billing","every":60,"from":"2020-01-01T00:00:00Z"}`, `{"name":"x","flow":"billing","every":60,"catch_up":1}`,
	} {
		assert.Equal(t, http.StatusUnprocessableEntity, p.call("POST", "/v1/schedules", o.bound, body).status, body)
	}
	large := `{"name":"x","flow":"billing","every":60,"input":"` + strings.Repeat("x", 65<<10) + `"}`
	assert.Equal(t, http.StatusRequestEntityTooLarge, p.call("POST", "/v1/schedules", o.bound, large).status)
	made := o.schedule(`{"name":"x","flow":"billing","every":60}`)
	p.must(http.StatusConflict, p.call("POST", "/v1/schedules", o.bound, `{"name":"x","flow":"billing","every":60}`), nil)
	p.must(http.StatusUnprocessableEntity, p.call("PATCH", "/v1/schedules/"+made.ID, o.bound, `{}`), nil)
	// It is no webhook source: nothing from outside fires it.
	assert.Equal(t, http.StatusNotFound, p.call("GET", "/v1/sources/"+made.ID, o.bound, "").status)
	assert.Equal(t, http.StatusUnauthorized, p.call("POST", "/v1/hooks/"+made.ID, "", `{}`).status)
	var sources api.List[api.Source]
	p.must(http.StatusOK, p.call("GET", "/v1/sources", o.bound, ""), &sources)
	assert.Empty(t, sources.Items)
}
