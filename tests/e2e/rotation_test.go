package e2e

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

// keys runs "tenon keys" as an operator of the machine does.
func (p *platform) keys(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin(t, "tenon"), append([]string{"keys", "--data", p.data}, args...)...)
	cmd.Env = append(os.Environ(), p.env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%v: %s", args, out)
	return string(out)
}

// cellKeys runs a command about the keys of the shop's cell, again while the API
// is away.
func (s *shop) cellKeys(t *testing.T, args ...string) (said string) {
	t.Helper()
	args = append([]string{"keys"}, append(args, "--organization", s.org, "--api", "http://"+s.p.api, "--key-file", filepath.Join(s.p.data, "admin.key"))...)
	eventually(t, time.Minute, strings.Join(args[:3], " "), func() bool {
		out, err := exec.CommandContext(t.Context(), bin(t, "tenon"), args...).CombinedOutput()
		said = string(out)
		return err == nil
	})
	return said
}

// keysView is what the API says of the keys of a cell.
type keysView struct {
	Keys []struct {
		ID, Kind, State string
		Sealed          int
	}
	Rotations []struct {
		Kind, State string
		WaitsFor    string `json:"waits_for"`
	}
	Broken int
}

func (s *shop) keysView(t *testing.T) (v keysView, ok bool) {
	t.Helper()
	status, text, err := s.p.call(t, s.key, "", http.MethodGet, "/v1/organizations/"+s.org+"/cell-keys", nil)
	if err != nil || status != http.StatusOK {
		return keysView{}, false
	}
	require.NoError(t, json.Unmarshal(text, &v))
	return v, true
}

// TestKeysAreReplacedWhileEverythingDies replaces all four kinds of key by the
// command line, while orders come in and API, host and cells are killed with -9
// again and again. Every order is billed once; then the report says that nothing is
// under a former key. The data key's last wait is for the engine's histories, which
// are kept for a day.
func TestKeysAreReplacedWhileEverythingDies(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, db.env(t)...)
			p.start(t)
			data := newShop(t, p, ledger.Keys, map[string]string{"now": billing("")})
			pair := newShop(t, p, ledger.Keys, map[string]string{"now": billing("")})
			streams := map[*shop]*stream{data: data.stream(t, 1, 250*time.Millisecond, "now"), pair: pair.stream(t, 1, 250*time.Millisecond, "now")}
			// One without a workflow: nothing waits, so its former key is destroyed, too.
			quiet := &shop{p: p}
			quiet.org, quiet.key = p.organization(t, "Quiet")
			quiet.cellKeys(t, "rotate", "data")
			before, ok := data.keysView(t)
			require.True(t, ok)
			data.cellKeys(t, "rotate", "data")
			pair.cellKeys(t, "rotate", "credential")

			// What is begun under a former key settles for half a minute in an API that
			// lives that long, so the blows come to an end.
			var killing sync.WaitGroup
			killing.Go(func() {
				rng := rand.New(rand.NewPCG(5, 6))
				for n := range 9 {
					<-time.After(time.Duration(2000+rng.IntN(4000)) * time.Millisecond)
					victim := []string{"api", "host", "tenon-cell"}[n%3]
					for pid, name := range p.processes(t) {
						if name == victim {
							_ = syscall.Kill(pid, syscall.SIGKILL)
						}
					}
				}
			})
			p.keys(t, "rotate", "root")
			p.keys(t, "rotate", "api")
			eventually(t, 4*time.Minute, "the keys are replaced", func() bool {
				d, okData := data.keysView(t)
				c, okPair := pair.keysView(t)
				q, okQuiet := quiet.keysView(t)
				if !okQuiet || len(q.Rotations) != 1 || q.Rotations[0].State != "done" {
					return false
				}
				return okData && okPair && len(d.Rotations) == 1 && strings.Contains(d.Rotations[0].WaitsFor, "histories") &&
					len(c.Rotations) == 1 && c.Rotations[0].State == "done"
			})
			killing.Wait()
			for s, st := range streams {
				s.settles(t, time.Minute, len(st.end()))
				s.account(t, st)
			}

			after, ok := data.keysView(t)
			require.True(t, ok)
			require.Zero(t, after.Broken)
			for _, was := range before.Keys {
				if was.Kind != "data" {
					continue
				}
				for _, is := range after.Keys {
					if is.ID == was.ID {
						require.Equal(t, "retiring", is.State)
						require.Zero(t, is.Sealed, "something is left under the former key")
					}
				}
			}
			after, ok = pair.keysView(t)
			require.True(t, ok)
			pairs := 0
			for _, k := range after.Keys {
				if k.Kind == "credential" {
					pairs++
					require.Equal(t, "current", k.State)
					require.Positive(t, k.Sealed)
				}
			}
			require.Equal(t, 1, pairs, "the former pair is destroyed")
			require.Contains(t, pair.cellKeys(t, "report"), "done")
			report := p.keys(t, "report")
			require.NotContains(t, report, "former", "%s", report)
			for _, side := range []string{"root", "api"} {
				p.recorded(t, p.administrator(t), "/v1/platform/audit", side, "key.pair_rotation_begun", "key.pair_rotated")
			}
			p.recorded(t, data.key, "/v1/audit", "", "key.rotation_requested", "key.retired", "key.unused")
			p.recorded(t, pair.key, "/v1/audit", "", "key.rotation_requested", "key.retired", "key.unused", "key.rotation_done")
			p.sound(t)
		})
	}
}

// recorded requires that each of the actions stands in the log, with the target
// unless that is empty.
func (p *platform) recorded(t *testing.T, key, path, target string, actions ...string) {
	t.Helper()
	for _, action := range actions {
		var found struct{ Items []struct{ Target string } }
		p.must(t, key, "", http.MethodGet, path+"?action="+action+"&target="+target, 200, nil, &found)
		require.NotEmpty(t, found.Items, "%s of %s", action, target)
	}
}
