package store_test

import (
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// digest is a dedupe key as the API makes them.
func digest(message string) string {
	sum := sha256.Sum256([]byte(message))
	return hex.EncodeToString(sum[:])
}

// retained is a namespace that keeps what ended runs left for a day.
func retained(t *testing.T, d *store.Door) store.Namespace {
	t.Helper()
	from := at.Add(time.Hour)
	n := store.Namespace{ID: schema.NewID(schema.PrefixNamespace), Name: schema.NewID("name"), CreatedAt: at, RetentionDays: 1, RetentionFrom: &from}
	require.NoError(t, d.CreateNamespace(t.Context(), n, draft("namespace.create", n.ID)))
	return n
}

// arrived is an event of the namespace; one without a message is repeated by none.
func arrived(t *testing.T, d *store.Door, n store.Namespace, message string) store.Event {
	t.Helper()
	e := event("src_1", digest(message))
	e.Namespace = n.ID
	if message == "" {
		e.DedupeKey = e.ID
	}
	e, duplicate, err := d.AcceptEvent(t.Context(), e, draft("event.accept", e.ID))
	require.NoError(t, err)
	require.False(t, duplicate)
	return e
}

// ended gives the event a run with a journal and an effect, which ended in the state.
func ended(t *testing.T, w *store.Work, e store.Event, state string, steps int) store.Run {
	t.Helper()
	r := pending(e.Seq)
	r.Event, r.Namespace = e.ID, e.Namespace
	require.NoError(t, w.StartRuns(t.Context(), []store.Run{r}, e.Seq, nil))
	c := store.RunCommit{Run: r.ID, Carrier: r.Carrier, Epoch: 1, Effects: []store.Effect{effect(r.ID, "e")}, End: &store.RunEnd{State: state, At: at}}
	for i := range steps {
		c.Steps = append(c.Steps, step(r.ID, fmt.Sprintf("s%05d", i)))
	}
	require.NoError(t, w.Commit(t.Context(), c))
	return r
}

// removal is the batch that removes the events and all their lineages.
func removal(t *testing.T, d *store.Door, n store.Namespace, events ...store.Event) store.Removal {
	t.Helper()
	r := store.Removal{Namespace: n, Before: at.Add(time.Minute)}
	var roots []string
	for _, e := range events {
		roots = append(roots, e.ID)
		r.Seq = max(r.Seq, e.Seq)
	}
	var err error
	r.Events, err = d.Lineages(t.Context(), roots)
	require.NoError(t, err)
	return r
}

func noted(runs int) store.AuditDraft { return draft("runs.remove", fmt.Sprint(runs)) }

// removeAll lets the cell do all that it has to.
func removeAll(t *testing.T, w *store.Work, d *store.Door) {
	t.Helper()
	for {
		cursor, err := w.Cursor(t.Context(), store.CursorRemovals)
		require.NoError(t, err)
		events, err := d.Removals(t.Context(), cursor, 100)
		require.NoError(t, err)
		if len(events) == 0 {
			return
		}
		_, kept, err := w.RemoveRuns(t.Context(), events, noted)
		require.NoError(t, err)
		require.Empty(t, kept)
	}
}

func count(t *testing.T, b storetest.Backend, made store.Provisioned, side, table string) string {
	t.Helper()
	return storetest.Column(t, b.Administrator(t, made, side), "SELECT COUNT(*) FROM "+table)[0]
}

// Invariant 7: of an event that is removed, and of its run, nothing is left but
// what makes a message that comes again the same one.
func TestRemovedEventsAreKnownAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		api, cell := storetest.Open(t, made.API, store.SideAPI), storetest.Open(t, made.Cell, store.SideCell)
		ctx, d, w := t.Context(), api.Door(), cell.Work()
		n := retained(t, d)
		hook, call, stays := arrived(t, d, n, "hook"), arrived(t, d, n, ""), arrived(t, d, n, "stays")
		run := ended(t, w, hook, store.RunCompleted, 3)
		ended(t, w, call, store.RunFailed, 1)
		other := ended(t, w, stays, store.RunCompleted, 2)
		_, err := d.AddCommand(ctx, store.Command{ID: schema.NewID(schema.PrefixCommand), Namespace: n.ID, Run: run.ID, Kind: "resolve", ArgsSealed: []byte{9}}, draft("run.resolve", run.ID))
		require.NoError(t, err)
		require.NoError(t, d.Discard(ctx, store.Disposition{Event: call.ID, By: "key_1"}, draft("event.discard", call.ID)))

		r := removal(t, d, n, hook, call)
		r.Runs, r.Held = []string{run.ID}, []int64{stays.Seq}
		require.NoError(t, d.Remove(ctx, r, draft("events.remove", n.ID)))
		for _, e := range []store.Event{hook, call} {
			_, err := d.GetEvent(ctx, n.ID, e.ID)
			wantCode(t, schema.CodeNotFound, err)
		}
		require.Equal(t, "0", count(t, b, made, "door", "commands"))
		require.Equal(t, "1", count(t, b, made, "door", "seen"), "nothing repeats a call without a key")
		held, err := d.HeldAfter(ctx, n.ID, 0, 10)
		require.NoError(t, err)
		require.Len(t, held, 1)
		swept, err := d.LastSweep(ctx, n.ID)
		require.NoError(t, err)
		require.Equal(t, store.Sweep{Seq: call.Seq, Before: at.Add(time.Minute)}, swept)

		// The same message, from the same source; and beside it, at the same time, another.
		again, duplicate, err := d.AcceptEvent(ctx, event("src_1", digest("hook")), draft("event.accept", ""))
		require.NoError(t, err)
		require.True(t, duplicate)
		require.Equal(t, store.Event{ID: hook.ID}, again)
		found, err := cell.Door().FindEvent(ctx, event("src_1", digest("hook")).DedupeKey)
		require.NoError(t, err)
		require.Equal(t, hook.ID, found.ID)
		_, err = d.FindEvent(ctx, digest("never"))
		wantCode(t, schema.CodeNotFound, err)
		fresh := arrived(t, d, n, "another")
		require.Greater(t, fresh.Seq, stays.Seq, "a number is never used again")

		// The cell still has the runs, and then it has not.
		_, err = w.GetRun(ctx, n.ID, run.ID)
		require.NoError(t, err)
		disposed, err := d.Disposed(ctx, []string{call.ID})
		require.NoError(t, err)
		require.Len(t, disposed, 1, "a run that the cell still has is no dead letter again")
		_, kept, err := w.RemoveRuns(ctx, nil, noted)
		require.NoError(t, err)
		require.Empty(t, kept)
		removeAll(t, w, cell.Door())
		_, err = w.GetRun(ctx, n.ID, run.ID)
		wantCode(t, schema.CodeNotFound, err)
		_, steps, effects, err := w.LoadRun(ctx, other.ID)
		require.NoError(t, err)
		require.Len(t, steps, 2)
		require.Len(t, effects, 1)
		require.Equal(t, "2", count(t, b, made, "work", "steps"))
		require.Equal(t, "1", count(t, b, made, "work", "effects"))

		cursor, err := w.Cursor(ctx, store.CursorRemovals)
		require.NoError(t, err)
		settled, err := d.SettleRemovals(ctx, cursor, 10)
		require.NoError(t, err)
		require.EqualValues(t, 2, settled)
		require.Equal(t, "0", count(t, b, made, "door", "removals"))
		require.Equal(t, "0", count(t, b, made, "door", "dispositions"))
		_, err = d.VerifyAudit(ctx)
		require.NoError(t, err)
		_, err = w.VerifyAudit(ctx)
		require.NoError(t, err)
		log, err := w.ListAudit(ctx, store.AuditFilter{Action: "runs.remove"})
		require.NoError(t, err)
		require.Len(t, log, 1)
		require.Equal(t, "2", log[0].Target, "both runs, in one entry")
	})
}

// An event that could not be known again is not removed, and no event of the
// others' batch is.
func TestWhatCouldNotBeKnownAgainStays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		d := storetest.Open(t, made.API, store.SideAPI).Door()
		n := retained(t, d)
		good := arrived(t, d, n, "good")
		odd := arrived(t, d, n, "odd")
		odd.ID = "evt_odd"
		_, err := b.Administrator(t, made, store.ChainDoor).ExecContext(t.Context(), "UPDATE events SET id = 'evt_odd' WHERE seq = $1", odd.Seq)
		require.NoError(t, err)
		wantCode(t, schema.CodeInternal, d.Remove(t.Context(), removal(t, d, n, good, odd), draft("events.remove", n.ID)))
		for _, e := range []store.Event{good, odd} {
			_, err := d.GetEvent(t.Context(), n.ID, e.ID)
			require.NoError(t, err)
		}
	})
}

// Invariant 7: between the look at a lineage and its removal somebody replays one
// of its events, or sets another retention: nothing goes. Once a lineage has gone,
// nothing is added to it.
func TestWhatChangedMeanwhileStays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		api, _ := b.Sides(t)
		ctx, d := t.Context(), api.Door()
		n := retained(t, d)
		first := arrived(t, d, n, "first")
		replay := func(of store.Event) (store.Event, error) {
			e := event("src_1", digest("replay of "+of.ID+schema.NewID(schema.PrefixEvent)))
			e.Namespace, e.Origin, e.Lineage = n.ID, of.ID, first.ID
			return d.ReplayEvent(ctx, e, "key_1", draft("event.replay", e.ID))
		}
		looked := removal(t, d, n, first)
		second, err := replay(first)
		require.NoError(t, err)
		wantCode(t, schema.CodeConflict, d.Remove(ctx, looked, draft("events.remove", n.ID)))
		whole := removal(t, d, n, first)
		require.Len(t, whole.Events, 2)
		part := whole
		part.Events = whole.Events[1:]
		wantCode(t, schema.CodeConflict, d.Remove(ctx, part, draft("events.remove", n.ID)))

		require.NoError(t, d.SetRetention(ctx, n, 0, nil, draft("namespace.update", n.ID)))
		wantCode(t, schema.CodeConflict, d.SetRetention(ctx, n, 30, nil, draft("namespace.update", n.ID)))
		wantCode(t, schema.CodeConflict, d.Remove(ctx, whole, draft("events.remove", n.ID)))
		now, err := d.GetNamespace(ctx, n.ID)
		require.NoError(t, err)
		require.Zero(t, now.RetentionDays)
		require.Nil(t, now.RetentionFrom)
		require.NoError(t, d.SetRetention(ctx, now, n.RetentionDays, n.RetentionFrom, draft("namespace.update", n.ID)))
		for _, e := range []store.Event{first, second} {
			_, err := d.GetEvent(ctx, n.ID, e.ID)
			require.NoError(t, err)
		}

		require.NoError(t, d.Remove(ctx, whole, draft("events.remove", n.ID)))
		for _, e := range []store.Event{first, second} {
			_, err := replay(e)
			wantCode(t, schema.CodeGone, err)
		}
		log, err := d.ListAudit(ctx, store.AuditFilter{Action: "events.remove"})
		require.NoError(t, err)
		require.Len(t, log, 1, "what did not happen is not on the record")
	})
}

// A long run is removed in several transactions, its own row last; one that has
// not ended for good is never removed, whoever says that its event is gone.
func TestRunsAreRemovedInParts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		api, cell := b.Sides(t)
		ctx, d, w := t.Context(), api.Door(), cell.Work()
		n := retained(t, d)
		long, open, uncertain, canceled := arrived(t, d, n, "long"), arrived(t, d, n, "open"), arrived(t, d, n, "uncertain"), arrived(t, d, n, "canceled")
		run := ended(t, w, long, store.RunCompleted, 450)
		started := pending(open.Seq)
		started.Event = open.ID
		require.NoError(t, w.StartRuns(ctx, []store.Run{started}, open.Seq, nil))
		asks := ended(t, w, uncertain, store.RunUncertain, 1)
		ended(t, w, canceled, store.RunCanceled, 1)
		require.NoError(t, d.Remove(ctx, removal(t, d, n, long, open, uncertain, canceled), draft("events.remove", n.ID)))

		events, err := cell.Door().Removals(ctx, 0, 100)
		require.NoError(t, err)
		require.Len(t, events, 4)
		for range 2 {
			done, _, err := w.RemoveRuns(ctx, events, noted)
			require.NoError(t, err)
			require.Zero(t, done)
			_, err = w.GetRun(ctx, "", run.ID)
			wantCode(t, schema.CodeNotFound, err)
			cursor, err := w.Cursor(ctx, store.CursorRemovals)
			require.NoError(t, err)
			require.Zero(t, cursor, "what is left of it is found again by another process")
		}
		left, steps, _, err := w.LoadRun(ctx, run.ID)
		require.NoError(t, err)
		require.Equal(t, run.ID, left.ID)
		require.Len(t, steps, 50)
		done, kept, err := w.RemoveRuns(ctx, events, noted)
		require.NoError(t, err)
		require.Equal(t, 4, done)
		require.Equal(t, []string{started.ID, asks.ID}, kept)
		for _, id := range kept {
			_, steps, _, err := w.LoadRun(ctx, id)
			require.NoError(t, err)
			if id == asks.ID {
				require.Len(t, steps, 1)
			}
		}
		_, _, _, err = w.LoadRun(ctx, run.ID)
		wantCode(t, schema.CodeNotFound, err)
		again, kept, err := w.RemoveRuns(ctx, events, noted)
		require.NoError(t, err)
		require.Equal(t, 4, again, "it may be repeated")
		require.Len(t, kept, 2)
		log, err := w.ListAudit(ctx, store.AuditFilter{Action: "runs.remove"})
		require.NoError(t, err)
		require.Len(t, log, 1)
	})
}

// One of several processes sweeps an organization at a time; a dead one's is
// another's when its lease has ended.
func TestSweepsAreClaimed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		c := b.Control(t)
		ctx := t.Context()
		org, idle := schema.NewID(schema.PrefixOrganization), schema.NewID(schema.PrefixOrganization)
		for _, id := range []string{org, idle} {
			require.NoError(t, c.CreateOrganization(ctx, store.Organization{ID: id, Name: id, State: store.OrganizationActive}, draft("organization.create", id)))
		}
		claim := func(now time.Time) string {
			t.Helper()
			got, err := c.ClaimSweep(ctx, now, now.Add(time.Minute))
			require.NoError(t, err)
			return got
		}
		require.Empty(t, claim(at), "no namespace removes anything")
		require.NoError(t, c.ScheduleSweep(ctx, org, at.Add(time.Hour)))
		require.NoError(t, c.ScheduleSweep(ctx, org, at.Add(2*time.Hour)))
		require.Empty(t, claim(at.Add(time.Hour-time.Microsecond)))
		due := at.Add(time.Hour)
		require.Equal(t, org, claim(due))
		require.Empty(t, claim(due), "it is somebody's")
		require.NoError(t, c.MoveSweep(ctx, org, due.Add(time.Minute), due.Add(2*time.Minute)))
		wantCode(t, schema.CodeConflict, c.MoveSweep(ctx, org, due.Add(time.Minute), due.Add(3*time.Minute)))
		require.Empty(t, claim(due.Add(time.Minute)))
		require.Equal(t, org, claim(due.Add(2*time.Minute)))
		require.NoError(t, c.SetOrganizationState(ctx, org, store.OrganizationSuspended, draft("organization.suspend", org)))
		require.Empty(t, claim(at.Add(100*time.Hour)))
	})
}

// What is removed makes room: for what comes, in the same files, and, on SQLite,
// below the bound of the cell at once. On PostgreSQL autovacuum does what the
// test asks for.
func TestRemovedRoomIsUsedAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		api, cell := storetest.Open(t, made.API, store.SideAPI), storetest.Open(t, made.Cell, store.SideCell)
		ctx, d, w := t.Context(), api.Door(), cell.Work()
		n := retained(t, d)
		sides := map[string]*sql.DB{"door": b.Administrator(t, made, "door"), "work": b.Administrator(t, made, "work")}
		taken := func() (sum int64) {
			for side, db := range sides {
				query := "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
				if b.Name == "postgres" {
					query = "SELECT SUM(pg_total_relation_size(quote_ident(tablename)::regclass)) FROM pg_tables WHERE schemaname = '" + side + "' AND tablename <> 'audit'"
				}
				var size int64
				require.NoError(t, db.QueryRowContext(ctx, query).Scan(&size))
				sum += size
			}
			return sum
		}
		const events = 80
		fill := func(round string) {
			for i := range events {
				e := event("src_1", digest(fmt.Sprint(round, i)))
				e.Namespace, e.PayloadSealed = n.ID, make([]byte, 15000)
				_, _ = rand.Read(e.PayloadSealed)
				e, _, err := d.AcceptEvent(ctx, e, store.AuditDraft{Actor: "a", Action: "b"})
				require.NoError(t, err)
				ended(t, w, e, store.RunCompleted, 20)
			}
		}
		clear := func() {
			for {
				heads, err := d.HeadsAfter(ctx, 0, 50)
				require.NoError(t, err)
				if len(heads) == 0 {
					break
				}
				require.NoError(t, d.Remove(ctx, store.Removal{Namespace: n, Before: at, Events: heads}, draft("events.remove", n.ID)))
			}
			removeAll(t, w, d)
			_, err := d.SettleRemovals(ctx, 1<<40, 1<<20)
			require.NoError(t, err)
		}
		fill("first")
		full := taken()
		if b.Name == "sqlite" {
			wantCode(t, schema.CodeFull, api.Room(full/2).Check(ctx))
		}
		clear()
		if b.Name == "sqlite" {
			require.NoError(t, api.Room(full/2).Check(ctx), "the cell may take events again")
		}
		for _, db := range sides {
			if b.Name == "postgres" {
				_, err := db.ExecContext(ctx, "VACUUM")
				require.NoError(t, err)
			}
		}
		fill("second")
		require.Less(t, taken(), full+full/3, "what was removed is used again")
	})
}
