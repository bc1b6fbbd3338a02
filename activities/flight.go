package activities

import (
	"context"
	"sync"
	"time"

	"github.com/tenonhq/tenon/schema/task"
)

// flights joins executors that ask for the same step at once.
type flights struct {
	mu   sync.Mutex
	live map[string]*flight
}

type flight struct {
	done   chan struct{}
	result task.StepResult
	err    error
}

// join starts work under the key, or joins the live one, and waits for it at
// most patience (no bound when zero). ok is false when it is still live then.
// The work outlives the caller: a local activity that gives up leaves the call
// to the regular activity that joins it.
func (f *flights) join(ctx context.Context, key string, patience time.Duration, work func(context.Context) (task.StepResult, error)) (result task.StepResult, ok bool, err error) {
	f.mu.Lock()
	if f.live == nil {
		f.live = make(map[string]*flight)
	}
	l, joined := f.live[key]
	if !joined {
		l = &flight{done: make(chan struct{})}
		f.live[key] = l
		go func() {
			wctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), task.StepLimit)
			defer cancel()
			l.result, l.err = work(wctx)
			f.mu.Lock()
			delete(f.live, key)
			f.mu.Unlock()
			close(l.done)
		}()
	}
	f.mu.Unlock()

	var late <-chan time.Time
	if patience > 0 {
		t := time.NewTimer(patience)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-l.done:
		return l.result, true, l.err
	case <-late:
		return task.StepResult{}, false, nil
	case <-ctx.Done():
		return task.StepResult{}, false, ctx.Err()
	}
}
