package api

import (
	"context"
	"sync"
	"time"

	"github.com/tenonhq/tenon/schema/store"
)

// mark is when this process last marked in the control database that a cell's
// door is written to. The bell may be lost, also with this process; a mark is
// found by the sweep of any host.
type mark struct {
	mu   sync.Mutex
	made time.Time
}

// make makes the mark, unless the last one is young enough to stand for what is
// on disk by now. Invariant 6: nothing is acknowledged without it, or a cell
// that fell asleep meanwhile would not look into its inbox again.
func (m *mark) make(ctx context.Context, control *store.Control, org string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.made.IsZero() && time.Since(m.made) < store.TouchLife {
		return nil
	}
	now := time.Now()
	if err := control.TouchCell(ctx, org); err != nil {
		return err
	}
	m.made = now
	return nil
}
