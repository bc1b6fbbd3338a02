package store

import (
	"context"
	"sync"
	"time"
)

// readLimit bounds a read that several wait for.
const readLimit = 10 * time.Second

// reads lets concurrent calls share a read of the same row. Nobody is answered by
// a read that began before it asked: what was revoked before a call is never used
// for it (invariant 1). Who comes while a read is under way waits for the next one.
type reads[V any] struct {
	mu   sync.Mutex
	live map[string]*read[V]
}

type read[V any] struct {
	done  chan struct{}
	value V
	err   error
	// next is the read of those that came since this one began.
	next *read[V]
}

// get returns what load reads. The value is shared: it must not be changed.
func (r *reads[V]) get(ctx context.Context, key string, load func(context.Context) (V, error)) (V, error) {
	r.mu.Lock()
	before := r.live[key]
	if before == nil {
		mine := &read[V]{done: make(chan struct{})}
		if r.live == nil {
			r.live = make(map[string]*read[V])
		}
		r.live[key] = mine
		r.mu.Unlock()
		r.run(ctx, key, mine, load)
		return mine.value, mine.err
	}
	mine := before.next
	if mine == nil {
		mine = &read[V]{done: make(chan struct{})}
		before.next = mine
		go func() {
			<-before.done
			shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), readLimit)
			defer cancel()
			r.run(shared, key, mine, load)
		}()
	}
	r.mu.Unlock()
	select {
	case <-mine.done:
		return mine.value, mine.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// run does the read, and puts the next one in its place before that begins.
func (r *reads[V]) run(ctx context.Context, key string, mine *read[V], load func(context.Context) (V, error)) {
	defer func() {
		r.mu.Lock()
		if mine.next != nil {
			r.live[key] = mine.next
		} else {
			delete(r.live, key)
		}
		r.mu.Unlock()
		close(mine.done)
	}()
	mine.value, mine.err = load(ctx)
}
