package bench

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/store/storetest"
)

// postmaster is the process of the server, parent of all of its others.
func postmaster(b *testing.B, c *storetest.Cluster) int {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(c.Directory, "data", "postmaster.pid"))
	require.NoError(b, err)
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(b, err)
	return pid
}

func open(b *testing.B, c *storetest.Cluster, name string) *sql.DB {
	b.Helper()
	connector, err := pq.NewConnector(c.URL(name))
	require.NoError(b, err)
	db := sql.OpenDB(connector)
	b.Cleanup(func() { _ = db.Close() })
	return db
}

func names(b *testing.B, c *storetest.Cluster) (out []string) {
	b.Helper()
	rows, err := open(b, c, "postgres").QueryContext(b.Context(), "SELECT datname FROM pg_database WHERE NOT datistemplate")
	require.NoError(b, err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		require.NoError(b, rows.Scan(&name))
		out = append(out, name)
	}
	require.NoError(b, rows.Err())
	return out
}

// databases compacts every database of the cluster and adds their sizes up.
func databases(b *testing.B, c *storetest.Cluster) (total int64) {
	b.Helper()
	for _, name := range names(b, c) {
		db := open(b, c, name)
		_, err := db.ExecContext(b.Context(), "VACUUM FULL")
		require.NoError(b, err)
		var size int64
		require.NoError(b, db.QueryRowContext(b.Context(), "SELECT pg_database_size(current_database())").Scan(&size))
		require.NoError(b, db.Close())
		total += size
	}
	return total
}

// concurrently counts what outstanding callers get done in the window.
func concurrently(b *testing.B, window time.Duration, do func(ctx context.Context, i int64) error) (done int64, rate float64) {
	b.Helper()
	var next, acked atomic.Int64
	ctx, cancel := context.WithTimeout(b.Context(), window)
	defer cancel()
	var wg sync.WaitGroup
	began := time.Now()
	for range outstanding {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := do(b.Context(), next.Add(1)); err != nil {
					b.Error(err)
					return
				}
				acked.Add(1)
			}
		})
	}
	wg.Wait()
	return acked.Load(), float64(acked.Load()) / time.Since(began).Seconds()
}

// inserts is the database's own rate of single rows of the same payload, which
// it commits in groups for concurrent sessions.
func inserts(b *testing.B, c *storetest.Cluster, table string, payload []byte) float64 {
	b.Helper()
	db := open(b, c, "postgres")
	db.SetMaxOpenConns(outstanding)
	db.SetMaxIdleConns(outstanding)
	_, err := db.ExecContext(b.Context(), "CREATE TABLE "+table+" (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload BYTEA NOT NULL)")
	require.NoError(b, err)
	insert, err := db.PrepareContext(b.Context(), "INSERT INTO "+table+" (payload) VALUES ($1)")
	require.NoError(b, err)
	defer func() { _ = insert.Close() }()
	one := func(ctx context.Context, _ int64) error {
		_, err := insert.ExecContext(ctx, payload)
		return err
	}
	concurrently(b, ackWindow/4, one) // connects
	_, rate := concurrently(b, ackWindow, one)
	return rate
}
