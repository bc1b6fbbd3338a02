package store_test

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// older makes a cell's databases anew, as a binary did that knew so many migrations of
// each side.
func older(t *testing.T, b storetest.Backend, made store.Provisioned, door, work int) (doorDB, workDB *sql.DB) {
	t.Helper()
	empty(t, b, made)
	make := func(side string, versions int) *sql.DB {
		db := owner(t, b, made, side)
		if b.Name == "postgres" {
			do(t, db, "CREATE SCHEMA "+side)
		}
		do(t, db, "CREATE TABLE schema_versions (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)")
		for i, text := range store.MigrationTexts(t, side, b.Name)[:versions] {
			do(t, db, text)
			do(t, db, "INSERT INTO schema_versions VALUES ($1, 'older', '')", i+1)
		}
		return db
	}
	return make(store.ChainDoor, door), make(store.ChainWork, work)
}

func do(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err, statement)
}

// Rows of before what they have in common was kept once are what they were: events and
// runs, what is known of removed ones, numbers, and the log.
func TestRowsAreMigrated(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		org, made := b.Provision(t)
		doorDB, workDB := older(t, b, made, 9, 10)
		hook, call, timed, gone := event("src_1", "hook"), event("flow_1", ""), event("sched_1", "timed"), event("src_1", "gone")
		call.DedupeKey, call.Kind, timed.Kind, timed.FlowVersion = call.ID, "call", "schedule", 4
		for i, e := range []*store.Event{&hook, &call, &timed, &gone} {
			e.Seq = int64(i + 1)
			do(t, doorDB, `INSERT INTO events (received_at, flow_version, id, namespace, source, kind, dedupe_key, flow, digest, payload_sealed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
				e.ReceivedAt.UnixMicro(), e.FlowVersion, e.ID, e.Namespace, e.Source, e.Kind, e.DedupeKey, e.Flow, e.Digest, e.PayloadSealed)
		}
		packed, err := schema.PackID(schema.PrefixEvent, gone.ID)
		require.NoError(t, err)
		half := map[string]string{"sqlite": "unhex(substr($1, 1, 32))", "postgres": "decode(left($1, 32), 'hex')"}[b.Name]
		do(t, doorDB, "INSERT INTO seen (key, event) VALUES ("+half+", $2)", gone.DedupeKey, packed)
		do(t, doorDB, "DELETE FROM events WHERE seq = 4")

		runs := make([]store.Run, 3)
		for i, e := range []store.Event{hook, call, timed} {
			r := pending(e.Seq)
			r.Event, r.FlowVersion, r.Straight = e.ID, e.FlowVersion, i != 1
			runs[i] = r
			do(t, workDB, `INSERT INTO runs (seq, epoch, created_at, started_at, ended_at, flow_version, straight, id, namespace, event, flow, digest, carrier,
state, error_type, result_sealed) VALUES ($1, $2, $3, 0, 0, $4, $5, $6, $7, $8, $9, $10, $11, $12, '', $13)`,
				r.EventSeq, r.Epoch, r.CreatedAt.UnixMicro(), r.FlowVersion, r.Straight, r.ID, r.Namespace, r.Event, r.Flow, r.Digest, r.Carrier, r.State, []byte{})
		}
		st := step(runs[0].ID, "/do/0/a")
		do(t, workDB, "INSERT INTO steps (run, key, started_at, ended_at, pointer, kind, phase, state, record_sealed) VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8)",
			st.Key, st.StartedAt.UnixMicro(), st.EndedAt.UnixMicro(), st.Pointer, st.Kind, st.Phase, st.State, st.RecordSealed)
		ef := effect(runs[0].ID, "/do/0/a")
		do(t, workDB, `INSERT INTO effects (run, key, epoch, attempts, created_at, updated_at, id, connection, action, idempotency_key, owner, state, digest, outcome_sealed)
VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`, ef.Key, ef.Epoch, ef.Attempts, ef.CreatedAt.UnixMicro(), ef.UpdatedAt.UnixMicro(), ef.ID,
			ef.Connection, ef.Action, ef.IdempotencyKey, ef.Owner, ef.State, ef.Digest, []byte{})
		entry := audit.Entry{Chain: store.ChainWork, Seq: 1, ID: schema.NewID(schema.PrefixAudit), At: at, Actor: "a", Action: "run.started", Target: "t", Namespace: "ns_test"}
		entry.Hash = entry.Digest()
		do(t, workDB, "INSERT INTO audit (seq, at, id, actor, action, target, namespace, detail_sealed, hash) VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8)",
			entry.At.UnixMicro(), entry.ID, entry.Actor, entry.Action, entry.Target, entry.Namespace, []byte{}, entry.Hash)

		require.NoError(t, store.MigrateCell(t.Context(), b.Admin, org))
		ctx, d := t.Context(), storetest.Open(t, made.API, store.SideAPI).Door()
		w := storetest.Open(t, made.Cell, store.SideCell).Work()

		found, err := d.EventsAfter(ctx, 0, 10)
		require.NoError(t, err)
		for i, e := range []store.Event{hook, call, timed} {
			e.DedupeKey = ""
			require.Equal(t, e, found[i])
			run, err := w.RunOf(ctx, e)
			require.NoError(t, err)
			require.Equal(t, runs[i], run)
		}
		require.Len(t, found, 3)
		last, err := d.LastScheduled(ctx, "sched_1")
		require.NoError(t, err)
		require.Equal(t, timed.ID, last.ID)
		for _, e := range []store.Event{hook, gone} {
			known, err := d.FindEvent(ctx, e.DedupeKey)
			require.NoError(t, err)
			require.Equal(t, e.ID, known.ID)
			again := event(e.Source, "")
			again.DedupeKey = e.DedupeKey
			kept, duplicate, err := d.AcceptEvent(ctx, again, draft("event.accept", again.ID))
			require.NoError(t, err)
			require.True(t, duplicate)
			require.Equal(t, e.ID, kept.ID)
		}
		fresh := accepted(t, d, "fresh")
		require.Greater(t, fresh.Seq, int64(4), "the number of an event that is gone is not given again")

		steps, err := w.ListSteps(ctx, runs[0].ID)
		require.NoError(t, err)
		require.Equal(t, []store.Step{st}, steps)
		effects, err := w.ListEffects(ctx, runs[0].ID)
		require.NoError(t, err)
		require.Equal(t, []store.Effect{ef}, effects)
		open, err := w.OpenRuns(ctx)
		require.NoError(t, err)
		require.Equal(t, runs, open)
		log, err := w.ListAudit(ctx, store.AuditFilter{})
		require.NoError(t, err)
		require.Equal(t, []audit.Entry{entry}, log)
		started(t, w, fresh.Seq)
		_, err = w.VerifyAudit(ctx)
		require.NoError(t, err)
	})
}

// A run whose id follows from its event's keeps no event, and one of before, or of
// another origin, does.
func TestARunKnowsItsEvent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		w := storetest.Open(t, made.Cell, store.SideCell).Work()
		var all []store.Run
		for i := range 2 {
			r := pending(int64(i + 1))
			r.Event = schema.NewID(schema.PrefixEvent)
			if i == 0 {
				var err error
				r.ID, err = schema.Retype(schema.PrefixRun, r.Event)
				require.NoError(t, err)
			}
			all = append(all, r)
		}
		require.NoError(t, w.StartRuns(t.Context(), all, 2, nil))
		kept := storetest.Column(t, b.Administrator(t, made, store.ChainWork), "SELECT event FROM runs ORDER BY seq")
		require.Equal(t, []string{"", all[1].Event}, kept)
		for _, r := range all {
			found, err := w.RunOf(t.Context(), store.Event{Seq: r.EventSeq, ID: r.Event})
			require.NoError(t, err)
			require.Equal(t, r, found)
			_, err = w.RunOf(t.Context(), store.Event{Seq: r.EventSeq, ID: schema.NewID(schema.PrefixEvent)})
			wantCode(t, schema.CodeNotFound, err)
		}
		heads, err := w.RunsOf(t.Context(), []int64{1, 2})
		require.NoError(t, err)
		require.Equal(t, all[0].Event, heads[1].Event)
		require.Equal(t, all[1].Event, heads[2].Event)
	})
}

// Columns that most rows would fill alike are left empty, and read as if they were not.
func TestUsualStepsAreShort(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		w := storetest.Open(t, made.Cell, store.SideCell).Work()
		r := started(t, w, 1)
		usual, other := step(r.ID, "/do/0/a"), step(r.ID, "/do/1/b")
		usual.Pointer = usual.Key
		other.Pointer, other.Phase, other.State = "/do/1/c", "begin", store.StepSkipped
		document := step(r.ID, "/do/2:enter")
		document.Pointer, document.Phase = "", "begin"
		want := []store.Step{usual, other, document}
		commit := store.RunCommit{Run: r.ID, Carrier: r.Carrier, Epoch: r.Epoch, State: store.RunRunning, Steps: want}
		require.NoError(t, w.Commit(t.Context(), commit))
		require.NoError(t, w.Commit(t.Context(), commit), "it may be repeated")
		found, err := w.ListSteps(t.Context(), r.ID)
		require.NoError(t, err)
		require.Equal(t, want, found)
		kept := storetest.Column(t, b.Administrator(t, made, store.ChainWork), "SELECT pointer || ',' || phase || ',' || state FROM steps ORDER BY key")
		require.Equal(t, []string{",,", fmt.Sprint("/do/1/c,begin,", store.StepSkipped), ",begin,"}, kept)
	})
}
