package main

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/tenonhq/tenon/schema/store/storetest"
)

// On PostgreSQL the same holds, in databases that the engine makes and
// migrates itself, over a Unix socket.
func TestRestartKeepsWorkflowsOnPostgres(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t).URL("postgres")
	prefix := "t" + strings.ToLower(rand.Text()) + "_"
	keepsWorkflows(t, func(s *settings) { s.PostgresURL, s.DatabasePrefix = url, prefix })
}
