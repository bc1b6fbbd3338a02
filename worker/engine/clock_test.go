package engine

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The engine is told of a clock that goes back, at once or by and by, and of no
// other: one that goes forward, or back by less than a restart takes.
func TestSetBack(t *testing.T) {
	for name, c := range map[string]struct {
		ahead []time.Duration
		told  bool
	}{
		"right":            {ahead: []time.Duration{0, 0}},
		"drifts":           {ahead: []time.Duration{-time.Millisecond, time.Millisecond}},
		"forward":          {ahead: []time.Duration{time.Hour, 2 * time.Hour}},
		"back":             {ahead: []time.Duration{-time.Hour}, told: true},
		"forward and back": {ahead: []time.Duration{time.Hour, 0}, told: true},
		"a little back":    {ahead: []time.Duration{-4 * time.Second}},
		"by and by":        {ahead: []time.Duration{-2 * time.Second, -4 * time.Second, -6 * time.Second}, told: true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			ticks, at := make(chan time.Time, len(c.ahead)), 0
			for range c.ahead {
				ticks <- time.Time{}
			}
			err := setBack(ctx, ticks, func() time.Duration {
				now := c.ahead[at]
				if at++; at == len(c.ahead) {
					cancel()
				}
				return now
			})
			require.Equal(t, c.told, err != nil, "%v", err)
		})
	}
}

func TestClockEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, NewClock().SetBack(ctx))
}
