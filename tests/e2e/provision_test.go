package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestOrganizationsAreMadeWhileHostsDie asks for organizations of a platform whose
// host and engine are killed with -9 again and again meanwhile. Each can be used in the end.
// The engine, with its histories of what made them, holds none of their keys; and a
// cell's process was told none by its environment or its arguments, nor where its
// databases are.
func TestOrganizationsAreMadeWhileHostsDie(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, append(db.env(t), "TENON_CELL_IDLE=0")...)
			p.start(t)
			admin := p.administrator(t)
			var ids []string
			for i := range 4 {
				var org struct{ ID string }
				p.must(t, admin, "", http.MethodPost, "/v1/organizations", 201, map[string]any{"name": fmt.Sprint("Shop ", i)}, &org)
				ids = append(ids, org.ID)
			}
			killed := 0
			pause := time.NewTicker(150 * time.Millisecond)
			defer pause.Stop()
			eventually(t, 2*time.Minute, "every organization is there", func() bool {
				active := 0
				for _, id := range ids {
					var org struct{ State string }
					if status, text, err := p.call(t, admin, "", http.MethodGet, "/v1/organizations/"+id, nil); err == nil && status == 200 {
						require.NoError(t, json.Unmarshal(text, &org))
					}
					if org.State == "active" {
						active++
					}
				}
				select {
				case <-pause.C:
					victim := []string{"host", "host", "tenon-engine"}[killed%3]
					for pid, name := range p.processes(t) {
						if name == victim && killed < 6 {
							require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
							killed++
						}
					}
				default:
				}
				return active == len(ids) && killed == 6
			})
			s := newShop(t, p, ledger.Keys, map[string]string{"now": billing("")})
			s.accepted(t, "now", "first")
			s.reach(t, 30*time.Second, "completed", 1)
			for _, id := range ids {
				var key struct{ Key string }
				p.must(t, admin, "", http.MethodPost, "/v1/keys", 201, map[string]any{"organization": id, "name": "e2e", "permissions": []string{"*"}}, &key)
				p.must(t, key.Key, "", http.MethodPost, "/v1/namespaces", 201, map[string]any{"name": "prod"}, nil)
			}

			secrets := map[string][]byte{}
			for _, id := range append(ids, s.org) {
				opened := p.hostKeys(t, id)
				for shape, text := range shapes(string(opened.DataKeys[0].Reveal())) {
					secrets[id+" data key, "+shape] = text
				}
				for shape, text := range shapes(string(opened.Private[0].Reveal())) {
					secrets[id+" private key, "+shape] = text
				}
				for name, url := range opened.Databases {
					secrets[id+" database "+name] = []byte(url)
				}
			}
			for pid, name := range p.processes(t) {
				if name != "tenon-cell" && name != "tenon-launcher" && name != "tenon-eval" {
					continue
				}
				for _, told := range []string{"environ", "cmdline"} {
					text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, told))
					if err != nil {
						continue // It has ended.
					}
					require.NotContains(t, string(text), "postgres", "%s of %s", told, name)
					require.NotContains(t, string(text), "eyJ", "%s of %s: a token", told, name)
					notIn(t, secrets, text, told+" of "+name)
				}
			}
			p.stop(t)
			searched := 0
			require.NoError(t, filepath.Walk(p.data, func(path string, f os.FileInfo, err error) error {
				if err != nil || !f.Mode().IsRegular() || strings.Contains(path, "/keys/") {
					return err
				}
				text, err := os.ReadFile(path)
				notIn(t, secrets, text, path)
				searched++
				return err
			}))
			require.Greater(t, searched, 10)
			// What is on PostgreSQL is in the files of its server; all of it is in them, and
			// in its log of what was written.
			if db.name == "PostgreSQL" {
				require.NoError(t, filepath.Walk(filepath.Join(storetest.Postgres(t).Directory, "data"), func(path string, f os.FileInfo, err error) error {
					if err != nil || !f.Mode().IsRegular() {
						return nil //nolint:nilerr // The server works on.
					}
					if text, err := os.ReadFile(path); err == nil {
						notIn(t, secrets, text, path)
					}
					return nil
				}))
			}
		})
	}
}

func notIn(t *testing.T, secrets map[string][]byte, text []byte, where string) {
	t.Helper()
	for what, secret := range secrets {
		require.False(t, bytes.Contains(text, secret), "%s is in %s", what, where)
	}
}
