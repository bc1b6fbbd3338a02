package engine

import (
	"context"
	"time"

	"github.com/tenonhq/tenon/schema"
)

const (
	// setBackBy is how far a clock is set back before the engine has to begin anew:
	// longer than that takes.
	setBackBy = 5 * time.Second
	// clockEvery is how often the clocks are compared.
	clockEvery = time.Second
)

// Clock compares the wall clock with the monotonic one. The server connects to
// its database at most once in a second, told by the wall clock: set back by an
// hour, it would be without its store for an hour from the next connection that
// it loses. A process that begins anew has forgotten when it connected.
type Clock struct{ begun time.Time }

// NewClock reads both clocks. It comes before the server connects.
func NewClock() Clock { return Clock{begun: time.Now()} }

// SetBack returns nil when ctx ends, or an error when the wall clock was set back
// since NewClock.
func (c Clock) SetBack(ctx context.Context) error {
	every := time.NewTicker(clockEvery)
	defer every.Stop()
	return setBack(ctx, every.C, func() time.Duration {
		now := time.Now()
		return now.Round(0).Sub(c.begun.Round(0)) - now.Sub(c.begun)
	})
}

// setBack compares at each tick by how much the wall clock is ahead of the
// monotonic one, since they were read first.
func setBack(ctx context.Context, ticks <-chan time.Time, ahead func() time.Duration) error {
	for most := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks:
		}
		now := ahead()
		if by := most - now; by > setBackBy {
			return schema.Errorf(schema.CodeUnavailable, "the clock was set back by %s: the engine begins anew", by.Round(time.Second))
		}
		most = max(most, now)
	}
}
