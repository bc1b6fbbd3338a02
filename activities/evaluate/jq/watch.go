package jq

import (
	"sync"
	"syscall"
	"time"
)

// ProcessorTime bounds what one batch may use of the processor. The evaluator
// keeps it itself, because time on the clock says nothing about a batch on a
// machine that is busy with other things.
const ProcessorTime = 500 * time.Millisecond

// watch answers for a batch that uses up its time, and ends the process: there
// is no other way to stop one step of gojq.
type watch struct {
	limit  time.Duration
	giveUp func()

	mu      sync.Mutex
	busy    bool
	started time.Duration
	timer   *time.Timer
}

func newWatch(limit time.Duration, giveUp func()) *watch {
	w := &watch{limit: limit, giveUp: giveUp}
	w.timer = time.AfterFunc(limit, w.look)
	return w
}

func (w *watch) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy, w.started = true, processorTime()
	w.timer.Reset(w.limit)
}

// end must come before the batch's own answer is written: after it, look
// writes none.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = false
	w.timer.Stop()
}

func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.busy {
		return
	}
	if used := processorTime() - w.started; used < w.limit {
		w.timer.Reset(w.limit - used)
		return
	}
	w.giveUp()
}

func processorTime() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0 // It cannot fail with these arguments; the pool's timeout stands behind it.
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
