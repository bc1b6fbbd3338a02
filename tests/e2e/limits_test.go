package e2e

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

// bomb is a flow whose one step is the expression.
func bomb(expression string) string {
	return fmt.Sprintf(`
document: {dsl: '1.0.3', namespace: e2e, name: billing, version: '1.0.0'}
do:
  - explode:
      set: {result: '${ %s }'}
`, expression)
}

// TestACellHarmsOnlyItself has one organization's flows spin, fill memory and
// swell while another's do their work: those end in good order, in the process
// that they began in, and the bombs end as failures of their own.
func TestACellHarmsOnlyItself(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) { harmsOnlyItself(t, db.env(t)) })
	}
}

func harmsOnlyItself(t *testing.T, env []string) {
	t.Helper()
	p := newPlatform(t, append(env, "TENON_CELL_MEMORY=256", "TENON_CELL_IDLE=0")...)
	p.start(t)
	good := newShop(t, p, ledger.Keys, map[string]string{"now": billing("")})
	hostile := newShop(t, p, ledger.Keys, map[string]string{
		"spin": bomb("def f: f; f"), "memory": bomb(`reduce range(40) as $i ("x"; . + .) | length`), "swell": bomb(`"xxxxxxxxxx" * 100000000 | length`),
	})
	good.accepted(t, "now", "first")
	good.reach(t, 20*time.Second, "completed", 1)
	steady := []int{p.pid(t, "host"), p.pid(t, "api"), p.pid(t, "tenon-engine"), p.cellOf(t, good.org)}

	const bombs = 2
	for i := range bombs {
		for flow := range hostile.hooks {
			hostile.accepted(t, flow, fmt.Sprint(flow, i))
		}
	}
	orders := []string{"first"}
	for i := range 10 {
		id := fmt.Sprint("beside-", i)
		orders = append(orders, id)
		good.accepted(t, "now", id)
	}
	good.reach(t, 30*time.Second, "completed", len(orders))
	good.bills(t, orders...)
	now := []int{p.pid(t, "host"), p.pid(t, "api"), p.pid(t, "tenon-engine"), p.cellOf(t, good.org)}
	require.Equal(t, steady, now, "nobody else fell")
	// They have the least share of a machine that other tests keep busy, too.
	hostile.reach(t, 3*time.Minute, "failed", bombs*len(hostile.hooks))
}

// cellOf is the process of the organization's cell.
func (p *platform) cellOf(t *testing.T, organization string) int {
	t.Helper()
	for pid, name := range p.processes(t) {
		if name == "tenon-cell" && strings.Contains(cmdline(pid), organization) {
			return pid
		}
	}
	t.Fatalf("no cell of %s", organization)
	return 0
}

// TestAFullCellTakesNothingIn fills a cell's databases: the API says so with a
// code, keeps nothing of what it refuses, and what it accepted is carried out.
func TestAFullCellTakesNothingIn(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			const most = 200
			p := newPlatform(t, append(db.env(t), "TENON_CELL_DISK=12")...)
			p.start(t)
			s := newShop(t, p, ledger.Keys, map[string]string{"now": billing("")})
			var flows struct{ Items []struct{ ID string } }
			s.must(t, http.MethodGet, "/v1/flows", 200, nil, &flows)
			noise := make([]byte, 300<<10) // What is kept is compressed first.
			_, err := rand.Read(noise)
			require.NoError(t, err)
			var accepted []string
			for i := range most {
				id := fmt.Sprint("order-", i)
				body := map[string]any{"input": map[string]any{"id": id, "padding": noise}}
				status, answer, err := p.call(t, s.key, "prod", http.MethodPost, "/v1/flows/"+flows.Items[0].ID+"/runs", body)
				require.NoError(t, err)
				if status == http.StatusAccepted {
					accepted = append(accepted, id)
					continue
				}
				require.Equal(t, http.StatusInsufficientStorage, status, "%s", answer)
				var problem struct{ Code, Hint string }
				require.NoError(t, json.Unmarshal(answer, &problem))
				require.Equal(t, "full", problem.Code)
				require.Contains(t, problem.Hint, "cell-disk")
				break
			}
			require.NotEmpty(t, accepted)
			require.Less(t, len(accepted), most, "it was never full")
			status, _ := s.order(t, "now", "refused")
			require.Equal(t, http.StatusInsufficientStorage, status, "webhooks, too")
			s.reach(t, 60*time.Second, "completed", len(accepted))
			s.bills(t, accepted...)
		})
	}
}
