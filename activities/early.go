package activities

import (
	"context"
	"time"

	"github.com/tenonhq/tenon/schema"
)

// staleAfter is how old a connection that was read early may be when it is used. After
// that it is read again: it may have been suspended or changed meanwhile. Its credential
// is never read early: what was revoked before a request is not used for it (invariant 1).
const staleAfter = 50 * time.Millisecond

// early is the read of a connection that is under way while something else is waited for.
type early struct {
	read  func(context.Context) (connection, error)
	began time.Time
	done  chan struct{}
	value connection
	err   error
}

// readEarly begins to read the named connection of a namespace.
func (e *Executor) readEarly(ctx context.Context, namespace, name string) *early {
	r := &early{began: time.Now(), done: make(chan struct{})}
	r.read = func(ctx context.Context) (connection, error) { return e.connection(ctx, namespace, name) }
	go func() {
		defer close(r.done)
		defer func() {
			if recover() != nil {
				r.err = schema.Errorf(schema.CodeInternal, "reading a connection panicked")
			}
		}()
		r.value, r.err = r.read(ctx)
	}()
	return r
}

// take waits for the connection, or reads it again when that began too long ago.
func (r *early) take(ctx context.Context) (connection, error) {
	if time.Since(r.began) > staleAfter {
		return r.read(ctx)
	}
	select {
	case <-r.done:
		return r.value, r.err
	case <-ctx.Done():
		return connection{}, ctx.Err()
	}
}
