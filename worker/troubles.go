package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// troubles says once that something does not work, and once that it works
// again, however often it is tried in between: an hour without a database is
// two lines of the log, not ten thousand.
type troubles struct {
	logger *slog.Logger
	mu     sync.Mutex
	since  map[string]time.Time
}

// about takes the outcome of an attempt, and reports whether it succeeded. An
// attempt that ended with its context says nothing.
func (t *troubles) about(ctx context.Context, what string, err error) bool {
	if err != nil && ctx.Err() != nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	since, troubled := t.since[what]
	switch {
	case err != nil && !troubled:
		if t.since == nil {
			t.since = make(map[string]time.Time)
		}
		t.since[what] = time.Now()
		t.logger.WarnContext(ctx, "the cell cannot "+what+" and tries again", "error", err)
	case err != nil:
		t.logger.DebugContext(ctx, "the cell still cannot "+what, "error", err)
	case troubled:
		delete(t.since, what)
		t.logger.InfoContext(ctx, "the cell can "+what+" again", "after", time.Since(since).Round(time.Millisecond))
	}
	return err == nil
}
