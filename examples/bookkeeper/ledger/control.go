package ledger

import (
	"errors"
	"sync"
	"time"
)

// When says on which side of the recording a fault strikes.
type When string

// The two sides.
const (
	Before When = "before"
	After  When = "after"
)

// Control is a fault to show at the next Count creations of bills.
// The zero value ends what was ordered before.
type Control struct {
	// Count is how many creations are struck.
	Count int `json:"count"`
	// StallMS makes a creation wait, whether its caller is still there or not.
	StallMS int `json:"stall_ms,omitempty"`
	// Fail answers with this status (400 to 599) instead of the true one.
	Fail int `json:"fail,omitempty"`
	// RetryAfter goes with Fail: the seconds that a caller is asked to wait; 0: it
	// is not told.
	RetryAfter int `json:"retry_after,omitempty"`
	// Drop closes the connection instead of answering.
	Drop bool `json:"drop,omitempty"`
	// When is before (default) or after the bill is recorded.
	When When `json:"when,omitempty"`
}

func (c Control) check() error {
	switch {
	case c.Count < 0 || c.Count > 1_000_000:
		return errors.New("count must be between 0 and 1000000")
	case c.StallMS < 0 || c.StallMS > 600_000:
		return errors.New("stall_ms must be between 0 and 600000")
	case c.Fail != 0 && (c.Fail < 400 || c.Fail > 599):
		return errors.New("fail must be a status between 400 and 599")
	case c.RetryAfter < 0 || c.RetryAfter > 86_400 || c.RetryAfter > 0 && c.Fail == 0:
		return errors.New("retry_after must be between 0 and 86400, and goes with fail")
	case c.When != "" && c.When != Before && c.When != After:
		return errors.New("when must be before or after")
	}
	return nil
}

// faults hands the ordered faults out, one a creation.
type faults struct {
	mu     sync.Mutex
	order  Control
	ending chan struct{}
}

func newFaults() *faults { return &faults{ending: make(chan struct{})} }

func (f *faults) set(c Control) {
	if c.When == "" {
		c.When = Before
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.order = c
}

// take returns the fault for the next creation, nil for none.
func (f *faults) take() *Control {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.order.Count == 0 {
		return nil
	}
	f.order.Count--
	fault := f.order
	return &fault
}

// stall waits as ordered. A caller that is gone does not end it: a slow service
// finishes its work whoever listens. Only the server's own end does.
func (f *faults) stall(c *Control) {
	if c.StallMS == 0 {
		return
	}
	timer := time.NewTimer(time.Duration(c.StallMS) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.ending:
	}
}

func (f *faults) end() { close(f.ending) }
