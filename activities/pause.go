package activities

import (
	"context"
	"sync"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

// pauseKnown is how long a flow is believed to be going: a busy one is asked
// for a few times a second, not for each of its calls.
const pauseKnown = 200 * time.Millisecond

// pauses remembers when flows were last seen going.
type pauses struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

// going refuses to begin a call of a flow that is paused. The error is the
// infrastructure's: the run stays where it is, and its step is tried again
// until the flow goes on or somebody cancels the run.
func (e *Executor) going(ctx context.Context, flow string) error {
	now := e.now()
	e.pauses.mu.Lock()
	seen, ok := e.pauses.seen[flow]
	e.pauses.mu.Unlock()
	if ok && now.Sub(seen) < pauseKnown && !now.Before(seen) {
		return nil
	}
	state, err := e.cfg.Cell.Door().FlowState(ctx, flow)
	if err != nil {
		return err
	}
	e.pauses.mu.Lock()
	defer e.pauses.mu.Unlock()
	if state == store.FlowPaused {
		delete(e.pauses.seen, flow)
		return schema.Errorf(schema.CodeUnavailable, "flow %s is paused: its runs stop before their next call", flow).
			Advise("Let the flow go on, or cancel the run.")
	}
	e.pauses.seen[flow] = now
	return nil
}
