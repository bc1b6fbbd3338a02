package e2e

import (
	"database/sql"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

// side opens one database of the organization, "control", "door" or "work", as
// somebody with SQL does.
func (s *shop) side(t *testing.T, name, postgres string) *sql.DB {
	t.Helper()
	driver, dsn := "sqlite", "file:"+filepath.Join(s.p.data, "cells", s.org, name, name+".db")+"?_pragma=busy_timeout(10000)"
	if name == "control" {
		dsn = "file:" + filepath.Join(s.p.data, "control", "control.db") + "?_pragma=busy_timeout(10000)"
	}
	if postgres != "" {
		u, err := url.Parse(postgres)
		require.NoError(t, err)
		q := u.Query()
		if q.Set("search_path", name); name != "control" {
			u.Path = "/tenon_" + strings.TrimPrefix(s.org, "org_")
		}
		u.RawQuery = q.Encode()
		driver, dsn = "postgres", u.String()
	}
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestRetentionWakesASleepingCell makes what a sleeping cell has forty days older:
// the API removes the event, the cell wakes for the run, and sleeps again. The
// order that comes again bills nobody.
func TestRetentionWakesASleepingCell(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			env := db.env(t)
			p := newPlatform(t, append(env, "TENON_CELL_IDLE=1s")...)
			p.start(t)
			s := newShop(t, p, ledger.None, map[string]string{"now": billing(""), "long": billing(waiting(time.Hour))})
			status, event := s.order(t, "now", "first")
			require.Equal(t, http.StatusAccepted, status)
			s.accepted(t, "long", "waits")
			s.reach(t, 20*time.Second, "completed", 1)
			s.reach(t, 20*time.Second, "waiting", 1)
			s.bills(t, "first")
			p.must(t, s.key, "", http.MethodPatch, "/v1/namespaces/prod", 200, map[string]any{"retention_days": 30}, nil)
			p.sleeps(t)

			postgres := ""
			if len(env) > 0 {
				_, postgres, _ = strings.Cut(env[0], "=")
			}
			const older = "40 * 86400000000"
			for _, change := range []struct{ side, statement string }{
				{"work", "UPDATE runs SET ended_at = ended_at - " + older + " WHERE ended_at > 0"},
				{"door", "UPDATE events SET received_at = received_at - " + older},
				{"door", "UPDATE namespaces SET retention_from = created_at"},
				{"control", "UPDATE cells SET sweep_at = 1 WHERE organization = '" + s.org + "'"},
			} {
				_, err := s.side(t, change.side, postgres).ExecContext(t.Context(), change.statement)
				require.NoError(t, err)
			}
			eventually(t, 100*time.Second, "the event goes", func() bool {
				status, _, err := p.call(t, s.key, "prod", http.MethodGet, "/v1/events/"+event, nil)
				return err == nil && status == http.StatusNotFound
			})
			eventually(t, 30*time.Second, "its run goes", func() bool { return len(s.runs(t)) == 1 })
			require.Equal(t, "waiting", s.runs(t)[0].State)
			p.sleeps(t)

			status, again := s.order(t, "now", "first")
			require.Equal(t, http.StatusAccepted, status)
			require.Equal(t, event, again)
			s.accepted(t, "now", "second")
			s.reach(t, 20*time.Second, "completed", 1)
			s.bills(t, "first", "second")
			require.Contains(t, p.logs(), "events past their retention were removed")
			require.NotContains(t, p.logs(), "panic")
		})
	}
}
