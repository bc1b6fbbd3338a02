package store

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadIsNeverOlderThanItsAsking has many ask while the row changes: each is
// answered with what it was when it asked, or with something newer, and most
// share a read.
func TestReadIsNeverOlderThanItsAsking(t *testing.T) {
	t.Parallel()
	var (
		r       reads[int64]
		version atomic.Int64
		loads   atomic.Int64
		wg      sync.WaitGroup
	)
	load := func(context.Context) (int64, error) {
		loads.Add(1)
		return version.Load(), nil
	}
	const askers, times = 16, 2000
	for range askers {
		wg.Go(func() {
			for range times {
				asked := version.Add(1)
				got, err := r.get(context.Background(), "row", load)
				if err != nil || got < asked {
					t.Errorf("asked at %d, answered with %d: %v", asked, got, err)
				}
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, loads.Load(), int64(askers*times))
	require.Empty(t, r.live, "what is asked for no more is kept")
}

// TestReadIsShared holds a read back: all that ask meanwhile share the next one,
// also when the one that asked first gives up.
func TestReadIsShared(t *testing.T) {
	t.Parallel()
	var (
		r         reads[int]
		loads     int
		began, on = make(chan struct{}), make(chan struct{})
		wg        sync.WaitGroup
	)
	load := func(ctx context.Context) (int, error) {
		loads++
		if loads == 1 {
			close(began)
			<-on
		}
		return loads, ctx.Err()
	}
	wg.Go(func() {
		got, err := r.get(context.Background(), "row", load)
		if err != nil || got != 1 {
			t.Errorf("the first read: %d, %v", got, err)
		}
	})
	<-began
	impatient, leave := context.WithCancel(t.Context())
	leave()
	_, err := r.get(impatient, "row", load)
	require.ErrorIs(t, err, context.Canceled)
	entered := make(chan struct{}, 8)
	for range 8 {
		wg.Go(func() {
			entered <- struct{}{}
			got, err := r.get(context.Background(), "row", load)
			if err != nil || got < 2 {
				t.Errorf("the next read: %d, %v", got, err)
			}
		})
	}
	for range 8 {
		<-entered
	}
	close(on)
	wg.Wait()
	require.LessOrEqual(t, loads, 10)
}
