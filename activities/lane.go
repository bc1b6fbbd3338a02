package activities

import (
	"context"
	"sync"

	"github.com/tenonhq/tenon/schema/store"
)

// lanes let one call of an effect happen at a time in this process, whatever
// step, attempt or owner of the run asks for it: a try whose attempt timed out
// asks again while the first call is still live (invariant 7).
type lanes struct {
	mu   sync.Mutex
	live map[string]chan struct{}
	left map[string]remains
}

// remains is what a call came to, until it is committed: when its owner loses
// the run before, the next one in this process records it.
type remains struct {
	effect  store.Effect
	state   string
	outcome outcome
}

// maxRemains bounds what is kept for owners that may never ask.
const maxRemains = 256

// lane names the lane of an effect, and of those that were asked for in its place.
func lane(run, effect string) string { return run + "\x00" + askedAs(effect) }

// enter waits for the lane; leave must be called.
func (l *lanes) enter(ctx context.Context, key string) (leave func(), err error) {
	for {
		l.mu.Lock()
		if l.live == nil {
			l.live, l.left = make(map[string]chan struct{}), make(map[string]remains)
		}
		before, busy := l.live[key]
		if !busy {
			mine := make(chan struct{})
			l.live[key] = mine
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				delete(l.live, key)
				l.mu.Unlock()
				close(mine)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-before:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// busy returns what ends with the live call of the lane, nil for none.
func (l *lanes) busy(key string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.live[key]
}

func (l *lanes) leave(key string, r remains) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.left) < maxRemains {
		l.left[key] = r
	}
}

func (l *lanes) take(key string) (remains, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.left[key]
	delete(l.left, key)
	return r, ok
}

// inherit records what the call of an owner before came to, when the ledger
// has the same effect begun and not settled.
func (e *Executor) inherit(st *runState, key string) error {
	r, ok := e.lanes.take(key)
	if !ok {
		return nil
	}
	st.mu.Lock()
	have, ok := st.effects[r.effect.Key]
	st.mu.Unlock()
	if !ok || have.ID != r.effect.ID || have.State != store.EffectIntent || have.Attempts != r.effect.Attempts {
		return nil
	}
	return e.settleEffect(st, have, r.state, r.outcome)
}
