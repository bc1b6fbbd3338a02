package store_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestWhatIsWrittenLaterIsWrittenAsItIs: statements that wait for the end of their
// transaction are sent with their values in them.
func TestWhatIsWrittenLaterIsWrittenAsItIs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, cell := b.Sides(t)
		ctx, w := t.Context(), cell.Work()
		for i, text := range []string{
			"", "'", "''; COMMIT; DROP TABLE runs; --", `\`, `\'`, `\\' OR 1`, `E'\x27'`, `"`, `{"a",NULL}`, "NULL", "{}", ",", "$1", "?", "%s",
			"a\nb\r\tc", "\x01\x7f", "Æ€😀", "/* ", "$$ $$", strings.Repeat(`'\"`, 50_000),
		} {
			r := started(t, w, int64(i)+1)
			st, ef := step(r.ID, "step"+text), effect(r.ID, "effect")
			st.Pointer, st.RecordSealed = "/"+text, []byte(text+"\x00\xff")
			ef.Connection, ef.IdempotencyKey, ef.OutcomeSealed = text, text, []byte(text+"\x00\\")
			require.NoError(t, w.Commit(ctx, store.RunCommit{
				Run: r.ID, Carrier: "car_1", Epoch: 1, Steps: []store.Step{st}, Effects: []store.Effect{ef},
				Audit: []store.AuditDraft{{Actor: text, Action: "act", Target: r.ID, DetailSealed: []byte(text)}},
				End:   &store.RunEnd{State: store.RunFailed, ErrorType: text, ResultSealed: []byte(text), At: at},
			}))
			run, steps, effects, err := w.LoadRun(ctx, r.ID)
			require.NoError(t, err)
			require.Equal(t, []store.Step{st}, steps)
			require.Equal(t, []store.Effect{ef}, effects)
			require.Equal(t, text, run.ErrorType)
			require.Equal(t, text, string(run.ResultSealed))
			log, err := w.ListAudit(ctx, store.AuditFilter{Limit: 1})
			require.NoError(t, err)
			require.Equal(t, text, log[0].Actor)
		}
		_, err := w.VerifyAudit(ctx)
		require.NoError(t, err)
	})
}

// TestALaterFailureIsItsOwn: what fails only as the transaction ends fails the commit
// that it is of, with what is wrong with it, and no other of the same transaction.
func TestALaterFailureIsItsOwn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, cell := b.Sides(t)
		ctx, w := t.Context(), cell.Work()
		for round := range int64(20) {
			r := started(t, w, round+1)
			commit := func(steps ...store.Step) error {
				return w.Commit(ctx, store.RunCommit{Run: r.ID, Carrier: "car_1", Epoch: 1, Steps: steps, Audit: []store.AuditDraft{draft("act", r.ID)}})
			}
			require.NoError(t, commit(step(r.ID, "first")))
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() { assert.NoError(t, commit(step(r.ID, fmt.Sprint(i)))) })
			}
			other := step(r.ID, "first")
			other.RecordSealed = []byte("another answer")
			wg.Go(func() { assert.Equal(t, schema.CodeConflict, schema.CodeOf(commit(other))) })
			wg.Wait()
			_, steps, _, err := w.LoadRun(ctx, r.ID)
			require.NoError(t, err)
			require.Len(t, steps, 9)
		}
		head, err := w.VerifyAudit(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 20*10, head.Seq, "what was refused left no entry")

		// With more than is put off, the audit entries are what it fails with first.
		r := started(t, w, 21)
		large := step(r.ID, "large")
		large.RecordSealed = make([]byte, 120<<10)
		c := store.RunCommit{Run: r.ID, Carrier: "car_1", Epoch: 1, Steps: []store.Step{step(r.ID, "first")}}
		require.NoError(t, w.Commit(ctx, c))
		c.Steps = []store.Step{large, step(r.ID, "first")}
		c.Steps[1].RecordSealed = []byte("another answer")
		for range 100 {
			c.Audit = append(c.Audit, draft("act", r.ID))
		}
		wantCode(t, schema.CodeConflict, w.Commit(ctx, c))
	})
}

// TestAConnectionThatDied is found out by the next transaction, which begins again.
func TestAConnectionThatDied(t *testing.T) {
	b := storetest.PostgreSQL(t)
	_, made := b.Provision(t)
	cell := storetest.Open(t, made.Cell, store.SideCell)
	ctx, w := t.Context(), cell.Work()
	admin := b.Administrator(t, made, "work")
	kill := func() {
		_, err := admin.ExecContext(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
		require.NoError(t, err)
	}
	for round := range int64(5) {
		r := started(t, w, round+1)
		kill()
		require.NoError(t, w.Commit(ctx, store.RunCommit{Run: r.ID, Carrier: "car_1", Epoch: 1, Steps: []store.Step{step(r.ID, "a")}}))
		kill()
		require.NoError(t, w.SetMeta(ctx, "key", []byte("value")))
	}
}
