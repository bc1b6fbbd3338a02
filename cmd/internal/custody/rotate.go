package custody

import (
	"context"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
	"github.com/tenonhq/tenon/worker/process"
)

// LearnPatience is how long running processes have to learn the next pair: they
// look every second or two.
const LearnPatience = 10 * time.Second

// Rotation replaces a pair.
type Rotation struct {
	Side  keystore.Side
	Store *keystore.Store
	// From is where the private half is kept, To where the next one will be:
	// the same, or another to which it moves.
	From, To Key
	// Public is the file of the public half.
	Public string
	// Lock is the file by which one rotation of the pair runs at a time, on whichever
	// machine: it lies in the key store, which they share.
	Lock string
	// Learn is how long running processes have to learn the next pair.
	Learn time.Duration
	// Done is told what has been done, in words; it is on disk then. Not nil.
	Done func(step string)
}

// Run replaces the pair: the next one is made and announced to the processes that
// run, every entry of the key store is wrapped to it, and the former private half
// is destroyed. Killed anywhere, it is run again and goes on.
func (r Rotation) Run(ctx context.Context) error {
	lock, err := process.Lock(ctx, r.Lock, 0)
	if schema.CodeOf(err) == schema.CodeConflict {
		return schema.Errorf(schema.CodeConflict, "the %s pair is being replaced by another process", r.Side).
			Advise("Wait until that one has ended.")
	}
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	current, next, promoted, err := r.pairs(ctx)
	if err != nil {
		return err
	}
	if promoted {
		return r.end(ctx, next)
	}
	r.Done("the next pair is made")
	if err := r.Store.Announce(ctx, r.Side, current, next); err != nil {
		return err
	}
	r.Done("the next pair is announced")
	// Whoever wraps from here on, under the store's lock, wraps to the next one.
	err = keystore.OverwritePublic(r.Public, next.Public())
	if schema.CodeOf(err) == schema.CodeNotFound {
		// Who holds the private half can do without a copy of the public one.
		err = keystore.WritePublic(r.Public, next.Public())
	}
	if err != nil {
		return err
	}
	r.Done("the public half is replaced")
	organizations, err := r.Store.List(ctx)
	if err != nil {
		return err
	}
	for _, org := range organizations {
		err := r.Store.Update(ctx, org, func(e *keystore.Entry) error { return e.Rewrap(r.Side, current, next.Public()) })
		if err != nil && schema.CodeOf(err) != schema.CodeNotFound {
			return err
		}
		r.Done("an entry is wrapped to the next pair")
	}
	if err := pause(ctx, r.Learn); err != nil {
		return err
	}
	// After this nothing but the next private half is left to open an entry with.
	if err := r.under(ctx, next.Public().ID()); err != nil {
		return err
	}
	if err := r.promote(); err != nil {
		return err
	}
	r.Done("the former private half is destroyed")
	return r.end(ctx, next)
}

// pairs finds how far an earlier run came. promoted says that only the former
// pair's traces are left, which current then is not.
func (r Rotation) pairs(ctx context.Context) (current, next seal.PrivateKey, promoted bool, err error) {
	fail := func(err error) (seal.PrivateKey, seal.PrivateKey, bool, error) {
		return seal.PrivateKey{}, seal.PrivateKey{}, false, err
	}
	to := r.target()
	from, announced, known, err := r.Store.Successor(r.Side)
	if err != nil {
		return fail(err)
	}
	gone := !r.From.exists() || r.From.path == r.To.path && !to.exists()
	if known {
		if gone {
			to = r.To
		}
		if next, err = to.Load(ctx); err != nil && schema.CodeOf(err) != schema.CodeNotFound {
			return fail(err)
		}
		if err != nil || next.Public() != announced {
			return fail(schema.Errorf(schema.CodeConflict, "the next private half that was announced is not in %s", to.path).
				Advise("Go on as the replacement was begun, or bring that half back: keys are wrapped to it already."))
		}
		if gone {
			return current, next, true, nil
		}
	}
	if current, err = r.From.Load(ctx); err != nil {
		return fail(err)
	}
	if known && current.Public().ID() != from {
		return fail(schema.Errorf(schema.CodeConflict, "the %s pair that is being replaced is another than %s holds", r.Side, r.From.path).
			Advise("Go on with the one that the replacement was begun with."))
	}
	if !known {
		// A copy of a former pair, as another machine may have, has no successor.
		if err = r.Store.Current(r.Side, current.Public()); err != nil {
			return fail(err)
		}
		if to.exists() {
			next, err = to.Load(ctx)
		} else {
			next, err = to.make(ctx)
		}
		if err != nil {
			return fail(err)
		}
	}
	if next.Public() == current.Public() {
		return fail(schema.Errorf(schema.CodeConflict, "the next private half is the one that there is"))
	}
	return current, next, false, nil
}

// target is where the next private half is made: beside the former one, until
// that one is destroyed, or where it moves to.
func (r Rotation) target() Key {
	if r.From.path == r.To.path {
		return r.To.next()
	}
	return r.To
}

func (r Rotation) promote() error {
	if r.From.path != r.To.path {
		return keyfile.DestroyAny(r.From.path)
	}
	return keyfile.Promote(r.To.next().path, r.To.path)
}

// under fails while an entry needs another pair than this one.
func (r Rotation) under(ctx context.Context, id seal.KeyID) error {
	organizations, err := r.Store.List(ctx)
	if err != nil {
		return err
	}
	for _, org := range organizations {
		e, err := r.Store.Get(ctx, org)
		if schema.CodeOf(err) == schema.CodeNotFound {
			continue
		}
		if err != nil {
			return err
		}
		wraps := e.Under(r.Side)
		delete(wraps, id)
		if len(wraps) > 0 {
			return schema.Errorf(schema.CodeConflict, "keys of organization %s are not wrapped to the next pair", org).
				Advise("Run this again. If it says the same, the entry came from elsewhere: tenon keys report says what it is wrapped to.")
		}
	}
	return nil
}

// end removes what is left of the former pair.
func (r Rotation) end(ctx context.Context, next seal.PrivateKey) error {
	if err := r.under(ctx, next.Public().ID()); err != nil {
		return err
	}
	// Killed while it destroyed the former half, an earlier run left a blank file.
	if r.From.path != r.To.path {
		if err := keyfile.DestroyAny(r.From.path); err != nil {
			return err
		}
	}
	if err := r.Store.Withdraw(ctx, r.Side); err != nil {
		return err
	}
	r.Done("nothing is left of the former pair")
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return schema.Errorf(schema.CodeTimeout, "ended before running processes had learned the next pair: %w", ctx.Err()).
			Advise("Run this again: it goes on.")
	case <-t.C:
		return nil
	}
}
