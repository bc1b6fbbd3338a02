package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// Invariant 7: the same message again, at the same time, is one event.
func TestConcurrentDuplicatesAreOneEvent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		doors := []*store.Door{storetest.Open(t, made.API, store.SideAPI).Door(), storetest.Open(t, made.API, store.SideAPI).Door()}
		const keys, copies = 40, 6
		var mu sync.Mutex
		got := map[string][]store.Event{}
		fresh := 0
		var wg sync.WaitGroup
		for i := range keys * copies {
			wg.Go(func() {
				key := fmt.Sprint("key ", i%keys)
				e, duplicate, err := doors[i%len(doors)].AcceptEvent(t.Context(), event("src_1", key), draft("event.accept", key))
				if !assert.NoError(t, err) { //nolint:testifylint // Not the goroutine of the test.
					return
				}
				mu.Lock()
				defer mu.Unlock()
				got[key] = append(got[key], e)
				if !duplicate {
					fresh++
				}
			})
		}
		wg.Wait()
		require.Equal(t, keys, fresh)
		for key, events := range got {
			for _, e := range events {
				require.Equal(t, events[0], e, key)
			}
		}
		all, err := doors[0].EventsAfter(t.Context(), 0, 10*keys)
		require.NoError(t, err)
		require.Len(t, all, keys)
		head, err := doors[0].VerifyAudit(t.Context())
		require.NoError(t, err, "two writers extend one chain")
		require.EqualValues(t, keys, head.Seq, "one entry for each act")
	})
}

// Invariant 6: a reader that goes on from the last number it saw misses no
// event, however many write.
func TestEventsBecomeVisibleInOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		doors := []*store.Door{storetest.Open(t, made.API, store.SideAPI).Door(), storetest.Open(t, made.API, store.SideAPI).Door()}
		reader := storetest.Open(t, made.Cell, store.SideCell).Door()
		const events, writers = 400, 16
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := w; i < events; i += writers {
					_, _, err := doors[w%2].AcceptEvent(t.Context(), event("src_1", fmt.Sprint(i)), draft("event.accept", ""))
					assert.NoError(t, err)
				}
			})
		}
		written := make(chan struct{})
		go func() { wg.Wait(); close(written) }()
		seen := map[string]bool{}
		cursor := int64(0)
		for last := false; !last; {
			select {
			case <-written:
				last = true
			default:
			}
			for {
				page, err := reader.EventsAfter(t.Context(), cursor, 7)
				require.NoError(t, err)
				for _, e := range page {
					require.Greater(t, e.Seq, cursor)
					cursor = e.Seq
					seen[e.ID] = true
				}
				if len(page) == 0 {
					break
				}
			}
		}
		require.Len(t, seen, events)
	})
}

func TestConcurrentWritesShareCommits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		api, cell := b.Sides(t)
		const writers, each = 64, 10
		before := api.Door().Commits()
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					_, _, err := api.Door().AcceptEvent(t.Context(), event("src_1", fmt.Sprint(w, "/", i)), draft("event.accept", ""))
					assert.NoError(t, err)
				}
			})
		}
		wg.Wait()
		commits := api.Door().Commits() - before
		require.Less(t, commits, int64(writers*each/8), "events must share commits")

		runs := make([]store.Run, writers)
		for i := range runs {
			runs[i] = pending(int64(i + 1))
		}
		require.NoError(t, cell.Work().StartRuns(t.Context(), runs, writers, nil))
		before = cell.Work().Commits()
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					r := runs[w].ID
					assert.NoError(t, cell.Work().Commit(t.Context(), store.RunCommit{
						Run: r, Carrier: "car_1", Epoch: 1, Steps: []store.Step{step(r, fmt.Sprint(i))}, Effects: []store.Effect{effect(r, fmt.Sprint(i))},
					}))
				}
			})
		}
		wg.Wait()
		require.Less(t, cell.Work().Commits()-before, int64(writers*each/8), "runs must share commits")
		for _, r := range runs {
			_, steps, effects, err := cell.Work().LoadRun(t.Context(), r.ID)
			require.NoError(t, err)
			require.Len(t, steps, each)
			require.Len(t, effects, each)
		}
	})
}

// One caller's mistake is no other's.
func TestFailuresStayApart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		api, cell := b.Sides(t)
		r := started(t, cell.Work(), 1)
		taken := namespace(t, api.Door())
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				switch i % 4 {
				case 0:
					err := api.Door().CreateNamespace(t.Context(), store.Namespace{ID: schema.NewID(schema.PrefixNamespace), Name: taken.Name}, draft("no", ""))
					assert.Equal(t, schema.CodeConflict, schema.CodeOf(err))
				case 1:
					_, _, err := api.Door().AcceptEvent(t.Context(), event("src_1", fmt.Sprint(i)), draft("yes", ""))
					assert.NoError(t, err) //nolint:testifylint // Not the goroutine of the test.
				case 2:
					err := cell.Work().Commit(t.Context(), store.RunCommit{Run: r.ID, Carrier: "car_2", Epoch: 1, Audit: []store.AuditDraft{draft("no", "")}})
					assert.Equal(t, schema.CodeFenced, schema.CodeOf(err))
				case 3:
					c := store.RunCommit{Run: r.ID, Carrier: "car_1", Epoch: 1, Steps: []store.Step{step(r.ID, fmt.Sprint(i))}, Audit: []store.AuditDraft{draft("yes", "")}}
					assert.NoError(t, cell.Work().Commit(t.Context(), c))
				}
			})
		}
		wg.Wait()
		for _, list := range []func() ([]audit.Entry, error){
			func() ([]audit.Entry, error) {
				return api.Door().ListAudit(t.Context(), store.AuditFilter{Limit: 200, Action: "yes"})
			},
			func() ([]audit.Entry, error) {
				return cell.Work().ListAudit(t.Context(), store.AuditFilter{Limit: 200, Action: "yes"})
			},
		} {
			log, err := list()
			require.NoError(t, err)
			require.Len(t, log, 15)
		}
		none, err := cell.Work().ListAudit(t.Context(), store.AuditFilter{Action: "no"})
		require.NoError(t, err)
		require.Empty(t, none, "what did not happen is not on the record")
		_, err = cell.Work().VerifyAudit(t.Context())
		require.NoError(t, err)
	})
}

// The number of an event that lost its transaction is given again or never;
// the two sides of a cell never wait for each other's locks.
func TestSidesWriteAtTheSameTime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		api, cell := b.Sides(t)
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				e, _, err := api.Door().AcceptEvent(t.Context(), event("src_1", fmt.Sprint(i)), draft("event.accept", ""))
				if assert.NoError(t, err) {
					assert.NoError(t, cell.Work().StartRuns(t.Context(), []store.Run{pending(e.Seq)}, e.Seq, nil))
				}
			})
		}
		wg.Wait()
		open, err := api.Work().OpenRuns(t.Context())
		require.NoError(t, err)
		require.Len(t, open, 32)
	})
}

// TestAFailedReadUndoesNobody: PostgreSQL ends a transaction in which a read failed
// without what was written before, and calls that a success. Whoever shared it has
// been told the truth.
func TestAFailedReadUndoesNobody(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, cell := b.Sides(t)
		for round := range 60 {
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					assert.NoError(t, cell.Work().SetMeta(t.Context(), fmt.Sprint(round, "/", i), []byte("kept")))
				})
			}
			wg.Go(func() { assert.Error(t, cell.Work().ReadBadly(t.Context(), round%2 == 0)) })
			wg.Wait()
			for i := range 8 {
				kept, err := cell.Work().GetMeta(t.Context(), fmt.Sprint(round, "/", i))
				require.NoError(t, err)
				require.Equal(t, "kept", string(kept))
			}
		}
	})
}

// Invariant 7: of the processes that mean to make an effect's next attempt one may,
// also when they ask in one transaction, and none once it has happened.
func TestAnAttemptIsOneProcess(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, cell := b.Sides(t)
		ctx, w := t.Context(), cell.Work()
		put := func(r store.Run, ef store.Effect, owner, state string, attempt int) error {
			ef.Owner, ef.State, ef.Attempts = owner, state, attempt
			return w.Commit(ctx, store.RunCommit{Run: r.ID, Carrier: "car_1", Epoch: 1, Effects: []store.Effect{ef}})
		}
		for round := range int64(40) {
			r := started(t, w, round+1)
			ef := effect(r.ID, "e")
			require.NoError(t, put(r, ef, "host_0", store.EffectFailed, 1))
			var mine atomic.Int32
			var wg sync.WaitGroup
			for i := range 6 {
				wg.Go(func() {
					owner := fmt.Sprint("host_", i)
					if put(r, ef, owner, store.EffectIntent, 2) != nil {
						return
					}
					mine.Add(1)
					assert.NoError(t, put(r, ef, owner, store.EffectDone, 2))
				})
			}
			wg.Wait()
			require.EqualValues(t, 1, mine.Load())
		}
	})
}
