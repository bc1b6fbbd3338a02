package store_test

import (
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

const outstanding = 64

// concurrently runs do b.N times, outstanding at a time, and reports the rate
// and the processor time that this process took for each.
func concurrently(b *testing.B, do func(i int64) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	before := cpu(b)
	b.ResetTimer()
	for range outstanding {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func each(b *testing.B, bench func(*testing.B, storetest.Backend)) {
	b.Helper()
	b.Run("sqlite", func(b *testing.B) { bench(b, storetest.SQLite(b)) })
	b.Run("postgres", func(b *testing.B) { bench(b, storetest.PostgreSQL(b)) })
}

// BenchmarkAccept is acks per second: an event of 1 KiB and its audit entry.
func BenchmarkAccept(b *testing.B) {
	each(b, func(b *testing.B, backend storetest.Backend) {
		api, _ := backend.Sides(b)
		before := api.Door().Commits()
		concurrently(b, func(i int64) error {
			e := event("src_1", fmt.Sprint(i))
			e.PayloadSealed = make([]byte, 1024)
			_, _, err := api.Door().AcceptEvent(b.Context(), e, draft("event.accept", e.ID))
			return err
		})
		b.ReportMetric(float64(b.N)/float64(api.Door().Commits()-before), "ops/commit")
	})
}

// BenchmarkPlainInsert is what acks are measured against: single-row inserts
// of the same payload that the database commits in groups: on PostgreSQL by
// itself for concurrent sessions, on SQLite one transaction for as many as wait.
func BenchmarkPlainInsert(b *testing.B) {
	each(b, func(b *testing.B, backend storetest.Backend) {
		payload := make([]byte, 1024)
		db := plain(b, backend)
		if backend.Name == "postgres" {
			db.SetMaxOpenConns(outstanding)
			db.SetMaxIdleConns(outstanding)
			insert, err := db.PrepareContext(b.Context(), "INSERT INTO plain (payload) VALUES ($1)")
			require.NoError(b, err)
			defer insert.Close() //nolint:errcheck // the end of the benchmark
			concurrently(b, func(int64) error {
				_, err := insert.ExecContext(b.Context(), payload)
				return err
			})
			return
		}
		concurrently(b, groups(b, db, payload))
	})
}

func plain(b *testing.B, backend storetest.Backend) *sql.DB {
	b.Helper()
	driver, dsn, kind := "postgres", backend.ControlURL, "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload BYTEA"
	if backend.Name == "sqlite" {
		driver, kind = "sqlite", "INTEGER PRIMARY KEY, payload BLOB"
		dsn = "file:" + b.TempDir() + "/plain.db?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, dsn)
	require.NoError(b, err)
	b.Cleanup(func() { _ = db.Close() })
	_, err = db.ExecContext(b.Context(), "CREATE TABLE plain (id "+kind+" NOT NULL)")
	require.NoError(b, err)
	return db
}

// groups commits single-row inserts of all who wait in one transaction.
func groups(b *testing.B, db *sql.DB, payload []byte) func(int64) error {
	b.Helper()
	db.SetMaxOpenConns(1)
	insert, err := db.PrepareContext(b.Context(), "INSERT INTO plain (payload) VALUES (?)")
	require.NoError(b, err)
	queue := make(chan chan error, outstanding)
	b.Cleanup(func() { close(queue) })
	commit := func(n int) error {
		tx, err := db.BeginTx(b.Context(), nil)
		if err != nil {
			return err
		}
		statement := tx.StmtContext(b.Context(), insert)
		for range n {
			if _, err := statement.ExecContext(b.Context(), payload); err != nil {
				return err
			}
		}
		return tx.Commit()
	}
	go func() {
		for first := range queue {
			batch := []chan error{first}
			for more := true; more && len(batch) < outstanding; {
				select {
				case c := <-queue:
					batch = append(batch, c)
				default:
					more = false
				}
			}
			err := commit(len(batch))
			for _, c := range batch {
				c <- err
			}
		}
	}()
	return func(int64) error {
		done := make(chan error, 1)
		queue <- done
		return <-done
	}
}

// BenchmarkFlow is what a flow of three steps and one effect costs the store,
// from its event to its end; it also reports the bytes that it takes.
func BenchmarkFlow(b *testing.B) {
	each(b, func(b *testing.B, backend storetest.Backend) {
		api, cell := backend.Sides(b)
		w := cell.Work()
		record := make([]byte, 300)
		concurrently(b, func(i int64) error {
			e := event("src_1", schema.NewID("msg"))
			e.PayloadSealed = make([]byte, 500)
			e, _, err := api.Door().AcceptEvent(b.Context(), e, store.AuditDraft{Actor: e.Source, Action: "event.accept", Target: e.ID, Namespace: e.Namespace})
			if err != nil {
				return err
			}
			r := pending(e.Seq)
			r.Event, r.Carrier = e.ID, schema.NewID(schema.PrefixCarrier)
			if err := w.StartRuns(b.Context(), []store.Run{r}, e.Seq, nil); err != nil {
				return err
			}
			steps := []store.Step{step(r.ID, "0"), step(r.ID, "1"), step(r.ID, "2")}
			for i := range steps {
				steps[i].RecordSealed = record
			}
			ef := effect(r.ID, "2")
			c := store.RunCommit{Run: r.ID, Carrier: r.Carrier, Epoch: 1, State: store.RunRunning, StartedAt: &at, Steps: steps[:2], Effects: []store.Effect{ef}}
			if err := w.Commit(b.Context(), c); err != nil {
				return err
			}
			ef.State, ef.OutcomeSealed = store.EffectDone, record[:100]
			return w.Commit(b.Context(), store.RunCommit{
				Run: r.ID, Carrier: r.Carrier, Epoch: 1, Steps: steps[2:], Effects: []store.Effect{ef},
				End:   &store.RunEnd{State: store.RunCompleted, ResultSealed: record[:120], At: at},
				Audit: []store.AuditDraft{{Actor: r.ID, Action: "effect.done", Target: ef.ID}, {Actor: r.ID, Action: "run.completed", Target: r.ID}},
			})
		})
	})
}
