package bench

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// bombEvery is the pause between two of a hostile organization's runs of each
// kind: faster than they end, so that there are always some.
const bombEvery = 500 * time.Millisecond

// bombs are flows that spin, and that fill their evaluator's memory.
var bombs = map[string]string{"spin": "def f: f; f", "memory": `reduce range(40) as $i ("x"; . + .) | length`}

const bombDocument = `
document: {dsl: '1.0.3', namespace: bench, name: %s, version: '1.0.0'}
do:
  - explode:
      set: {result: '${ %s }'}
`

// bombFigure measures an organization's latency beside another one whose flows
// spin and fill their memory, against the same alone.
func bombFigure(b *testing.B, r *report, rec *recorder, name, postgres string) {
	b.Helper()
	p := start(b, postgres, "TENON_CELL_IDLE=0")
	good, hostile := p.tenant(b, rec.target), p.tenant(b, rec.target)
	alone := latency(b, good, rec, "alone")

	ctx, cancel := context.WithCancel(b.Context())
	var firing sync.WaitGroup
	for kind, expression := range bombs {
		var made struct{ Flow struct{ ID string } }
		hostile.do(b, http.MethodPost, "/v1/flows", fmt.Appendf(nil, bombDocument, kind, expression), &made)
		firing.Go(func() { hostile.fire(ctx, b, made.Flow.ID) })
	}
	until(b, 2*time.Minute, "bombs go off", func() bool { return hostile.states(b)["failed"] > 0 })
	beside := latency(b, good, rec, "beside")
	cancel()
	firing.Wait()
	until(b, 5*time.Minute, "they fail", func() bool {
		states := hostile.states(b)
		return states["failed"] > 0 && len(states) == 1
	})
	good.completed(b)
	r.against(name, milliseconds(beside), "ms", "-", milliseconds(alone))
	p.end()
}

// fire runs a flow again and again until the context ends.
func (t *tenant) fire(ctx context.Context, b *testing.B, flow string) {
	again := time.NewTicker(bombEvery)
	defer again.Stop()
	for {
		status, text, err := t.send(b.Context(), http.MethodPost, "/v1/flows/"+flow+"/runs", []byte(`{"input":{}}`), http.Header{"Content-Type": {"application/json"}})
		if err != nil || status != http.StatusAccepted {
			b.Errorf("a run was answered %d: %s %v", status, text, err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}
