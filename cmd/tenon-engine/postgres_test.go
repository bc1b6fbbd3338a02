package main

import (
	"crypto/rand"
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/store/storetest"
)

// On PostgreSQL the same holds, in databases that the engine makes and
// migrates itself, over a Unix socket.
func TestRestartKeepsWorkflowsOnPostgres(t *testing.T) {
	t.Parallel()
	cluster := storetest.Postgres(t)
	prefix := "t" + strings.ToLower(rand.Text()) + "_"
	keepsWorkflows(t, func(s *settings) { s.PostgresURL, s.DatabasePrefix = cluster.URL("postgres"), prefix })

	// A record is in no index on a search attribute that it does not have.
	db, err := sql.Open("postgres", cluster.URL(prefix+"visibility"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var all, full int
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*), count(*) FILTER (WHERE indexdef !~ ' WHERE ') FROM pg_indexes
WHERE tablename = 'executions_visibility' AND indexdef ~* '(keyword|keywordlist|int|bool|double|datetime|text)0\d'`).Scan(&all, &full))
	require.Greater(t, all, 30)
	require.Zero(t, full)
	// These alone hold every record.
	rows, err := db.QueryContext(t.Context(), `SELECT indexname FROM pg_indexes WHERE tablename = 'executions_visibility' AND indexdef !~ ' WHERE ' ORDER BY 1`)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var whole []string
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		whole = append(whole, name)
	}
	require.NoError(t, rows.Err())
	require.Equal(t, []string{"by_status", "by_task_queue", "by_workflow_id", "by_workflow_type", "default_idx", "executions_visibility_pkey"}, whole)
}
