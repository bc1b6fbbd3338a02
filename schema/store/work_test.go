package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

func TestRunsStartOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		api, cell := b.Sides(t)
		ctx, w := t.Context(), cell.Work()
		r := started(t, w, 7)
		twin := pending(7)
		require.NoError(t, w.StartRuns(ctx, []store.Run{twin, pending(8)}, 8, []store.AuditDraft{draft("run.start", twin.ID), draft("run.start", "8")}))
		_, err := w.GetRun(ctx, "ns_test", twin.ID)
		wantCode(t, schema.CodeNotFound, err)
		found, err := api.Work().GetRun(ctx, "ns_test", r.ID)
		require.NoError(t, err)
		require.Equal(t, r, found)
		_, err = w.GetRun(ctx, "ns_other", r.ID)
		wantCode(t, schema.CodeNotFound, err)

		require.NoError(t, w.StartRuns(ctx, nil, 5, nil))
		cursor, err := w.Cursor(ctx, store.CursorEvents)
		require.NoError(t, err)
		require.EqualValues(t, 8, cursor, "a cursor never goes back")
		log, err := w.ListAudit(ctx, store.AuditFilter{})
		require.NoError(t, err)
		require.Len(t, log, 2, "a run that was there is not started again")

		open, err := w.OpenRuns(ctx)
		require.NoError(t, err)
		require.Len(t, open, 2)
		page, err := api.Work().ListRuns(ctx, store.RunFilter{Namespace: "ns_test", Flow: "flow_1", State: store.RunPending, Page: store.Page{Limit: 1}})
		require.NoError(t, err)
		require.Len(t, page, 1)
		page, err = api.Work().ListRuns(ctx, store.RunFilter{Page: store.Page{After: page[0].ID}})
		require.NoError(t, err)
		require.Equal(t, []store.Run{r}, page)
	})
}

func TestCommitIsFenced(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, cell := b.Sides(t)
		ctx, w := t.Context(), cell.Work()
		r := started(t, w, 1)
		begun := at
		ef := effect(r.ID, "/do/1")
		c := store.RunCommit{
			Run: r.ID, Carrier: "car_1", Epoch: 1, State: store.RunRunning, StartedAt: &begun,
			Steps: []store.Step{step(r.ID, "a"), step(r.ID, "b")}, Effects: []store.Effect{ef}, Audit: []store.AuditDraft{draft("effect.intent", ef.ID)},
		}
		require.NoError(t, w.Commit(ctx, c))
		require.NoError(t, w.Commit(ctx, c), "a commit may be repeated")
		run, steps, effects, err := w.LoadRun(ctx, r.ID)
		require.NoError(t, err)
		require.Equal(t, store.RunRunning, run.State)
		require.Equal(t, at, *run.StartedAt)
		require.Equal(t, c.Steps, steps)
		require.Equal(t, c.Effects, effects)

		for name, wrong := range map[string]store.RunCommit{
			"carrier": {Run: r.ID, Carrier: "car_2", Epoch: 1}, "epoch": {Run: r.ID, Carrier: "car_1", Epoch: 2},
		} {
			wrong.Steps = []store.Step{step(r.ID, "stale "+name)}
			wantCode(t, schema.CodeFenced, w.Commit(ctx, wrong))
		}
		wantCode(t, schema.CodeNotFound, w.Commit(ctx, store.RunCommit{Run: "run_none", Carrier: "car_1", Epoch: 1}))

		taken, err := w.TakeRuns(ctx, "car_2", []string{r.ID, "run_none"}, []string{store.RunRunning})
		require.NoError(t, err)
		require.Len(t, taken, 1)
		require.EqualValues(t, 2, taken[0].Epoch)
		wantCode(t, schema.CodeFenced, w.Commit(ctx, c))

		end := store.RunCommit{Run: r.ID, Carrier: "car_2", Epoch: 2, End: &store.RunEnd{State: store.RunCompleted, ResultSealed: []byte{5}, At: at}}
		require.NoError(t, w.Commit(ctx, end))
		wantCode(t, schema.CodeFenced, w.Commit(ctx, end))
		_, steps, _, err = w.LoadRun(ctx, r.ID)
		require.NoError(t, err)
		require.Len(t, steps, 2, "who is fenced writes nothing")
		none, err := w.TakeRuns(ctx, "car_3", []string{r.ID}, []string{store.RunRunning})
		require.NoError(t, err)
		require.Empty(t, none)
	})
}

func TestJournalAndLedgerDoNotChange(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, cell := b.Sides(t)
		ctx, w := t.Context(), cell.Work()
		r := started(t, w, 1)
		commit := func(s []store.Step, e ...store.Effect) error {
			return w.Commit(ctx, store.RunCommit{Run: r.ID, Carrier: "car_1", Epoch: 1, Steps: s, Effects: e})
		}
		ef := effect(r.ID, "e")
		require.NoError(t, commit([]store.Step{step(r.ID, "a")}, ef))

		changed := step(r.ID, "a")
		changed.RecordSealed = []byte("other")
		wantCode(t, schema.CodeConflict, commit([]store.Step{step(r.ID, "fresh"), changed}))
		digest := ef
		digest.Digest = []byte{9}
		wantCode(t, schema.CodeConflict, commit(nil, digest))
		wantCode(t, schema.CodeConflict, commit(nil, ef, digest))
		id := ef
		id.ID = schema.NewID(schema.PrefixEffect)
		wantCode(t, schema.CodeConflict, commit([]store.Step{step(r.ID, "fresh")}, id))

		done := ef
		done.State, done.OutcomeSealed, done.Attempts = store.EffectDone, []byte{3}, 2
		require.NoError(t, commit(nil, ef, done))
		require.NoError(t, commit(nil, done), "a commit may be repeated")
		wantCode(t, schema.CodeConflict, commit(nil, ef))
		late := done
		late.Owner, late.Attempts = "host_2", 1
		wantCode(t, schema.CodeConflict, commit(nil, late))
		for _, owner := range []string{done.Owner, "host_2", ""} {
			second := done
			second.Owner, second.OutcomeSealed = owner, []byte{4}
			wantCode(t, schema.CodeConflict, commit(nil, second))
			wantCode(t, schema.CodeConflict, commit(nil, done, second))
		}
		_, steps, effects, err := w.LoadRun(ctx, r.ID)
		require.NoError(t, err)
		require.Len(t, steps, 1, "what fails writes nothing")
		done.Owner = ""
		require.Equal(t, []store.Effect{done}, effects)
	})
}

// A key that is in the ledger stays there, and is no other one's, whether or not who
// writes leaves out the one that follows from the run.
func TestKeysStay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, cell := b.Sides(t)
		w := cell.Work()
		r := started(t, w, 1)
		commit := func(e store.Effect) error {
			return w.Commit(t.Context(), store.RunCommit{Run: r.ID, Carrier: "car_1", Epoch: 1, Effects: []store.Effect{e}})
		}
		named, derived := effect(r.ID, "named"), effect(r.ID, "derived")
		derived.IdempotencyKey, derived.CreatedAt = "", at.Add(time.Second)
		require.NoError(t, commit(named))
		require.NoError(t, commit(derived))
		for _, key := range []string{"another", "idem-derived"} {
			other := derived
			other.IdempotencyKey = key
			wantCode(t, schema.CodeConflict, commit(other))
		}
		left := named
		left.IdempotencyKey, left.State = "", store.EffectUncertain
		require.NoError(t, commit(left))
		other := named
		other.IdempotencyKey = "another"
		wantCode(t, schema.CodeConflict, commit(other))
		effects, err := w.ListEffects(t.Context(), r.ID)
		require.NoError(t, err)
		left.IdempotencyKey = named.IdempotencyKey
		require.Equal(t, []store.Effect{left, derived}, effects)
	})
}

func TestCommandsApplyOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, cell := b.Sides(t)
		ctx, w := t.Context(), cell.Work()
		r := started(t, w, 1)
		ef := effect(r.ID, "e")
		ef.State = store.EffectUncertain
		stop := store.RunCommit{Run: r.ID, Carrier: "car_1", Epoch: 1, Effects: []store.Effect{ef}, End: &store.RunEnd{State: store.RunUncertain, ErrorType: "uncertain", ResultSealed: []byte{1}, At: at}}
		require.NoError(t, w.Commit(ctx, stop))

		ef.State = store.EffectResolved
		apply := func(seq int64, from, to string) error {
			return w.ApplyCommand(ctx, seq, r.ID, []string{from}, to, true, []store.Effect{ef}, []store.AuditDraft{draft("applied", r.ID)})
		}
		wantCode(t, schema.CodeConflict, apply(1, store.RunRunning, store.RunPending))
		require.NoError(t, w.SkipCommand(ctx, 1, []store.AuditDraft{draft("refused", r.ID)}))
		require.NoError(t, apply(2, store.RunUncertain, store.RunPending))
		require.NoError(t, apply(2, store.RunUncertain, store.RunCanceled), "a command is applied once")
		run, _, effects, err := w.LoadRun(ctx, r.ID)
		require.NoError(t, err)
		require.Equal(t, store.RunPending, run.State)
		require.Empty(t, run.Carrier)
		require.EqualValues(t, 2, run.Epoch)
		require.Nil(t, run.EndedAt)
		require.Empty(t, run.ResultSealed)
		require.Equal(t, store.EffectResolved, effects[0].State)

		require.NoError(t, apply(3, store.RunPending, store.RunCanceled))
		run, err = w.GetRun(ctx, "ns_test", r.ID)
		require.NoError(t, err)
		require.NotNil(t, run.EndedAt)
		log, err := w.ListAudit(ctx, store.AuditFilter{})
		require.NoError(t, err)
		require.Equal(t, []string{"applied", "applied", "refused", "run.start"}, actions(log))
	})
}

func TestMeta(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, cell := b.Sides(t)
		ctx, w := t.Context(), cell.Work()
		_, err := w.GetMeta(ctx, "k")
		wantCode(t, schema.CodeNotFound, err)
		require.NoError(t, w.SetMeta(ctx, "k", []byte{0}))
		require.NoError(t, w.SetMeta(ctx, "k", []byte{0, 1}))
		v, err := w.GetMeta(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, []byte{0, 1}, v)
	})
}
