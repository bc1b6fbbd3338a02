package bell_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/bell"
)

// rings are when, and for whom, a bell was rung.
type rings struct {
	began time.Time
	heard chan string
}

func (r rings) Ring(organization string) {
	r.heard <- organization + " " + time.Since(r.began).String()
}

func (rings) Close() error { return nil }

// TestCalm: the first ring is at once, what comes after is not lost, and another
// organization waits for nobody.
func TestCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rings{began: time.Now(), heard: make(chan string, 100)}
		calm := bell.Calm(r)
		next := func() string {
			synctest.Wait()
			select {
			case heard := <-r.heard:
				return heard
			default:
				return ""
			}
		}
		calm.Ring("a")
		require.Equal(t, "a 0s", next())
		calm.Ring("b")
		require.Equal(t, "b 0s", next())
		for range 50 {
			calm.Ring("a")
		}
		require.Empty(t, next())
		<-time.After(2 * time.Millisecond)
		require.Equal(t, "a 2ms", next())
		calm.Ring("a")
		require.Empty(t, next(), "that was a ring as well")
		<-time.After(2 * time.Millisecond)
		require.Equal(t, "a 4ms", next())
		<-time.After(time.Hour)
		require.Empty(t, next(), "nothing came since")
		calm.Ring("a")
		require.Equal(t, "a 1h0m0.004s", next())
		<-time.After(time.Hour)
	})
}
