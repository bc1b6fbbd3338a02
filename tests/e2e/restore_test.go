package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// copied copies the databases of the shop's cell, while nothing runs.
func (s *shop) copied(t *testing.T) (back func()) {
	t.Helper()
	b := storetest.Backend{Name: "sqlite", Admin: store.Admin{Directory: filepath.Join(s.p.data, "cells")}}
	if strings.Contains(strings.Join(s.p.env, " "), "=postgres://") {
		b.Name = "postgres"
	}
	return b.Copy(t, s.org)
}

// acceptRestore runs "tenon audit accept-restore".
func (p *platform) acceptRestore(t *testing.T, organization string) (said string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin(t, "tenon"), "audit", "accept-restore", "--data", p.data, "--organization", organization)
	cmd.Env = append(os.Environ(), p.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *shop) state(t *testing.T) string {
	t.Helper()
	var org struct{ State string }
	s.p.must(t, s.p.administrator(t), "", http.MethodGet, "/v1/organizations/"+s.org, 200, nil, &org)
	return org.State
}

// connection is what the API shows of the shop's one.
func (s *shop) connection(t *testing.T) (id, state string) {
	t.Helper()
	var page struct{ Items []struct{ ID, State string } }
	s.must(t, http.MethodGet, "/v1/connections", 200, nil, &page)
	require.Len(t, page.Items, 1)
	return page.Items[0].ID, page.Items[0].State
}

// TestDatabasesPutBack: both databases of a cell are put back to before its
// credential was replaced. Nothing of the organization runs, nothing is
// acknowledged, and the API says why, until an administrator accepts the restore
// on the host's machine. Then what was replaced is refused still, until it is
// entered again.
func TestDatabasesPutBack(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, db.env(t)...)
			p.start(t)
			s := newShop(t, p, ledger.Keys, map[string]string{"now": billing("")})
			s.accepted(t, "now", "a")
			s.reach(t, 20*time.Second, "completed", 1)
			p.stop(t)
			back := s.copied(t)

			p.start(t)
			id, _ := s.connection(t)
			s.sealCredential(t, id)
			s.accepted(t, "now", "b")
			s.reach(t, 20*time.Second, "completed", 2)
			// Killed, all at once: the end of the chains is signed by the next host.
			p.kill()
			p.start(t)
			s.accepted(t, "now", "c")
			s.reach(t, 20*time.Second, "completed", 3)
			require.Equal(t, "active", s.state(t), "a crash is no restore")
			_, err := p.acceptRestore(t, s.org)
			require.Error(t, err, "there is nothing to accept")
			p.stop(t)

			back()
			p.start(t)
			eventually(t, 20*time.Second, "the organization is stopped", func() bool { return s.state(t) == "put_back" })
			eventually(t, 20*time.Second, "nothing is acknowledged", func() bool {
				status, _ := s.order(t, "now", "d")
				return status == http.StatusServiceUnavailable
			})
			status, text, err := p.call(t, s.key, "prod", http.MethodGet, "/v1/connections", nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusServiceUnavailable, status)
			var problem struct{ Code, Hint string }
			require.NoError(t, json.Unmarshal(text, &problem))
			require.Equal(t, "put_back", problem.Code)
			require.Contains(t, problem.Hint, "tenon audit accept-restore")
			// One that was being started was given no key.
			eventually(t, 5*time.Second, "no cell runs", func() bool { return len(p.cellProcesses(t, p.cmd.Process.Pid)) == 0 })
			s.bills(t, "a", "b", "c")
			status, text, err = p.call(t, p.administrator(t), "", http.MethodGet, "/v1/platform/audit?action=organization.put_back", nil)
			require.NoError(t, err)
			require.Equal(t, 200, status)
			require.Contains(t, string(text), "is not there", "the host sealed what it found, and the API opens it")

			said, err := p.acceptRestore(t, s.org)
			require.NoError(t, err, said)
			require.Contains(t, said, "RESTORED")
			eventually(t, 30*time.Second, "the organization runs, and the connection is suspended", func() bool {
				if s.state(t) != "active" {
					return false
				}
				status, text, err := p.call(t, s.key, "prod", http.MethodGet, "/v1/connections/"+id, nil)
				require.NoError(t, err)
				var shown struct{ State string }
				return status == 200 && json.Unmarshal(text, &shown) == nil && shown.State == "suspended"
			})
			s.accepted(t, "now", "d")
			s.reach(t, 20*time.Second, "failed", 1)
			s.bills(t, "a", "b", "c")
			var entries struct{ Items []struct{ Target string } }
			s.must(t, http.MethodGet, "/v1/audit?action=credential.put_back", 200, nil, &entries)
			require.Len(t, entries.Items, 1)

			s.sealCredential(t, id)
			s.accepted(t, "now", "e")
			s.reach(t, 20*time.Second, "completed", 2)
			s.bills(t, "a", "b", "c", "e")
			p.stop(t)
			verified, said := p.auditVerify(t, "--all")
			require.Zero(t, verified, said)
			require.Contains(t, said, "RESTORED")
		})
	}
}

// TestARunThatTheCopyDoesNotKnow: the copy that is put back has an event, but not its
// run, which was billed since. The event's run is started anew, as the same one, and
// its target is sent the same idempotency key (invariant 7).
func TestARunThatTheCopyDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, append(db.env(t), "TENON_CELL_IDLE=0")...)
			p.start(t)
			s := newShop(t, p, ledger.Keys, map[string]string{"now": billing("")})
			s.accepted(t, "now", "a")
			s.reach(t, 20*time.Second, "completed", 1)
			require.NoError(t, syscall.Kill(p.pid(t, "tenon-cell"), syscall.SIGSTOP))
			s.accepted(t, "now", "b")
			p.kill()
			back := s.copied(t)

			p.start(t)
			before := s.reach(t, 20*time.Second, "completed", 2)
			p.stop(t)
			back()
			p.start(t)
			eventually(t, 20*time.Second, "the organization is stopped", func() bool { return s.state(t) == "put_back" })
			creations := s.books.Stats().Creations
			said, err := p.acceptRestore(t, s.org)
			require.NoError(t, err, said)
			eventually(t, 30*time.Second, "the organization runs", func() bool { return s.state(t) == "active" })
			eventually(t, 20*time.Second, "the target is called again", func() bool { return s.books.Stats().Creations > creations })
			require.Equal(t, ids(before), ids(s.reach(t, 20*time.Second, "completed", 2)))
			s.bills(t, "a", "b")
		})
	}
}

func ids(runs []runView) (out []string) {
	for _, r := range runs {
		out = append(out, r.ID)
	}
	return out
}
