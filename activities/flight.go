package activities

import (
	"context"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tenonhq/tenon/schema"
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
	// left: one who waited has given up.
	left atomic.Bool
}

// shield keeps a panic in one step from ending the cell, and with it every
// other run (invariant 9). The panic's text may quote a payload: what is
// reported is its type and where it came from.
func shield(work func() (task.StepResult, error)) (r task.StepResult, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = task.StepResult{}, schema.Errorf(schema.CodeInternal, "the step panicked with a %T at %s", p, origin())
		}
	}()
	return work()
}

// origin names the function that panicked, called from a deferred function.
func origin() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") {
			return f.Function + ":" + strconv.Itoa(f.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}

// join starts work under the key, or joins the live one, and waits for it at
// most patience (no bound when zero). ok is false when it is still live then.
// The work outlives the caller: a local activity that gives up leaves the call
// to the regular activity that joins it. The work can ask whether a caller has left.
func (f *flights) join(ctx context.Context, key string, patience time.Duration, work func(ctx context.Context, left func() bool) (task.StepResult, error)) (result task.StepResult, ok bool, err error) {
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
			l.result, l.err = shield(func() (task.StepResult, error) { return work(wctx, l.left.Load) })
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
		l.left.Store(true)
		return task.StepResult{}, false, nil
	case <-ctx.Done():
		l.left.Store(true)
		return task.StepResult{}, false, ctx.Err()
	}
}
