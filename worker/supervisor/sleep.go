package supervisor

import (
	"context"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/crash"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/worker"
)

const (
	// DefaultIdle is how long a cell has nothing to do before it sleeps.
	DefaultIdle = time.Minute
	// markPatience is how long no new mark must have been seen on a cell before
	// it may sleep: longer than a mark stands for what follows it.
	markPatience = store.TouchLife + time.Second
)

// marked takes note of the marks on the cell's row.
func (c *cell) marked(touches int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.touches != touches || c.seen.IsZero() {
		c.touches, c.seen = touches, time.Now()
	}
}

// listen follows the reports of a process until it ends.
func (c *cell) listen(line *worker.Line) {
	for {
		var r worker.Report
		if line.Receive(&r) != nil {
			return
		}
		c.keep(r.Floors)
		c.mu.Lock()
		quiet := time.Since(c.seen) > markPatience
		if r.Asleep && c.line == line {
			c.asleep = &r
		}
		c.mu.Unlock()
		// What was acknowledged under a mark is in the door once the mark stands
		// for nothing more; only then is a last look at the door the last.
		if r.Idle && quiet {
			_ = line.Send(worker.Notice{Sleep: true})
		}
	}
}

// slept tells whether the process that ended did so to sleep, and the cell may:
// not if its door was marked since, or if another host has the cell.
func (c *cell) slept(ctx context.Context) bool {
	c.mu.Lock()
	heard := c.heard
	c.mu.Unlock()
	<-heard // Its end of the line was closed with it.
	c.mu.Lock()
	report := c.asleep
	// A bell from here on is for who claims the cell next.
	c.rung = false
	c.mu.Unlock()
	if report == nil {
		return false
	}
	if err := c.sleep(ctx, report.WakeAt); err != nil {
		c.host.cfg.Logger.InfoContext(ctx, "a cell does not sleep after all", "organization", c.organization, "why", err)
		return false
	}
	return true
}

// sleep gives the cell up in the control database until wakeAt, or until its
// door is marked.
func (c *cell) sleep(ctx context.Context, wakeAt *time.Time) error {
	c.mu.Lock()
	touches := c.touches
	c.mu.Unlock()
	if err := c.host.cfg.Control.SleepCell(context.WithoutCancel(ctx), c.host.id, c.organization, c.epoch, touches, wakeAt); err != nil {
		return err
	}
	crash.At(crash.SleepKept)
	return nil
}

// missed tells whether a bell was rung while the cell fell asleep.
func (c *cell) missed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rung && c.asleep != nil
}

// wake claims one cell that a bell was rung for, whether it sleeps or not.
func (h *Host) wake(ctx context.Context, organization string) {
	now := time.Now().UTC()
	rows, err := h.cfg.Control.ClaimCell(ctx, h.id, organization, now.Add(lease), now)
	if err != nil {
		h.cfg.Logger.WarnContext(ctx, "a cell could not be claimed and is looked for again", "organization", organization, "error", err)
		return
	}
	for _, row := range rows {
		h.begin(ctx, row)
	}
}

// untilWake is how long to wait before cells are claimed again.
func (h *Host) untilWake(ctx context.Context) time.Duration {
	next, err := h.cfg.Control.NextWake(ctx)
	if err != nil {
		if schema.CodeOf(err) != schema.CodeTimeout {
			h.cfg.Logger.WarnContext(ctx, "the next cell to wake is not known and is looked for again", "error", err)
		}
		return renewEvery
	}
	if next == nil {
		return renewEvery
	}
	return min(max(time.Until(*next), 0), renewEvery)
}
