package group

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/tenonhq/tenon/schema"
)

// MaxBatch bounds the units of one transaction, and with it how long the
// first of them waits for the last.
const MaxBatch = 128

// Transactions begins and ends transactions of type T. A Committer calls it
// from one goroutine at a time.
type Transactions[T any] interface {
	// Begin begins a transaction. In a careful one each unit is told of its own
	// failures, before Commit.
	Begin(careful bool) (T, error)
	// Commit returns nil only when everything done in T is on disk. After an error
	// that is marked with Undone, nothing is.
	Commit(T) error
	Rollback(T)
	// Idle is called when no unit is left.
	Idle()
}

// Committer runs units of work, many to a transaction.
type Committer[T any] struct {
	transactions Transactions[T]

	mu      sync.Mutex
	queue   []*unit[T]
	running bool
	closed  bool
	drained sync.WaitGroup

	commits atomic.Int64
}

// Kind is a sort of unit that is done with one call for all those in a batch.
// The function returns an error for each item, or none at all; every error
// but a refused one fails the transaction.
type Kind[T, D any] struct {
	run func(T, []D) []error
}

// NewKind returns a kind of unit.
func NewKind[T, D any](run func(T, []D) []error) *Kind[T, D] {
	return &Kind[T, D]{run: run}
}

type unit[T any] struct {
	// kind is what units done together have in common; nil for none.
	kind  any
	run   func(T, []*unit[T]) []error
	data  any
	state atomic.Int32
	err   error
	done  chan struct{}
}

// A unit is taken by the committer or given up by its caller, never both.
const (
	waiting int32 = iota
	taken
	abandoned
)

type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// Refuse marks the error of a unit that wrote nothing: the others of its
// transaction go on.
func Refuse(err error) error {
	if err == nil {
		return nil
	}
	return refusal{err}
}

type undone struct{ error }

func (u undone) Unwrap() error { return u.error }

// Undone marks the error of a commit that wrote nothing, since some unit's part of it
// failed: its units are tried again, each by itself, with care.
func Undone(err error) error { return undone{err} }

// New returns a committer.
func New[T any](t Transactions[T]) *Committer[T] {
	return &Committer[T]{transactions: t}
}

// Commits is how many transactions were committed.
func (c *Committer[T]) Commits() int64 { return c.commits.Load() }

// Do runs the unit and returns when its transaction is committed or it has
// failed. It may be run again after a failure of another unit of its
// transaction: it must set what it yields anew each time.
func (c *Committer[T]) Do(ctx context.Context, run func(T) error) error {
	return c.do(ctx, &unit[T]{run: func(t T, _ []*unit[T]) []error {
		if err := run(t); err != nil {
			return []error{err}
		}
		return nil
	}})
}

// Together runs one unit of a kind, with the others of its kind that are in
// the same transaction.
func Together[T, D any](ctx context.Context, c *Committer[T], k *Kind[T, D], item D) error {
	return c.do(ctx, &unit[T]{kind: k, data: item, run: func(t T, units []*unit[T]) []error {
		items := make([]D, len(units))
		for i, u := range units {
			items[i], _ = u.data.(D) // only units of this kind carry it
		}
		return k.run(t, items)
	}})
}

func (c *Committer[T]) do(ctx context.Context, u *unit[T]) error {
	if err := ctx.Err(); err != nil {
		return schema.Errorf(schema.CodeTimeout, "the request ended before it was written: %w", err)
	}
	u.done = make(chan struct{})
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return schema.Errorf(schema.CodeUnavailable, "the database is closed")
	}
	c.queue = append(c.queue, u)
	if !c.running {
		c.running = true
		c.drained.Add(1)
		go c.drain()
	}
	c.mu.Unlock()

	select {
	case <-u.done:
		return u.err
	case <-ctx.Done():
	}
	if u.state.CompareAndSwap(waiting, abandoned) {
		return schema.Errorf(schema.CodeTimeout, "the request ended before it was written: %w", ctx.Err())
	}
	// It is being written: the answer must say what became of it, and comes
	// as soon as the transaction ends.
	<-u.done
	return u.err
}

// Close waits for the units that were accepted and refuses others.
func (c *Committer[T]) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.drained.Wait()
}

func (c *Committer[T]) drain() {
	defer c.drained.Done()
	for {
		batch := c.next()
		if len(batch) == 0 {
			return
		}
		c.process(batch)
	}
}

// next takes up to MaxBatch units; with none left it ends the drain.
func (c *Committer[T]) next() []*unit[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch := make([]*unit[T], 0, min(len(c.queue), MaxBatch))
	n := 0
	for n < len(c.queue) && len(batch) < MaxBatch {
		if u := c.queue[n]; u.state.CompareAndSwap(waiting, taken) {
			batch = append(batch, u)
		}
		n++
	}
	if n == len(c.queue) {
		c.queue = nil
	} else {
		c.queue = c.queue[n:]
	}
	if len(batch) == 0 {
		c.transactions.Idle()
		c.running = false
	}
	return batch
}

// process commits the batch. When a unit fails, those not at fault are tried
// again without it, and then one by one: nobody fails for another's mistake.
func (c *Committer[T]) process(batch []*unit[T]) {
	failed, _ := c.try(batch, false)
	if len(failed) == 0 {
		return
	}
	if rest := without(batch, failed); len(rest) > 0 {
		if again, _ := c.try(rest, false); len(again) > 0 {
			failed = batch
		}
	}
	var away error
	for _, u := range failed {
		switch {
		case u.finished():
			continue
		case away != nil: // Whoever waits learns it now, not when all before it have tried.
			u.finish(away)
			continue
		}
		var again []*unit[T]
		if again, away = c.try([]*unit[T]{u}, true); len(again) > 0 {
			u.finish(u.err)
		}
	}
}

// try runs the units in one transaction. It finishes them all and returns
// none, or it rolls back, finishes none and returns those that failed. away is why no
// transaction could begin.
func (c *Committer[T]) try(batch []*unit[T], careful bool) (failed []*unit[T], away error) {
	t, err := c.transactions.Begin(careful)
	if err != nil {
		finish(batch, err)
		return nil, err
	}
	for _, together := range byKind(batch) {
		errs := together[0].run(t, together)
		fatal := false
		for i, u := range together {
			u.err = nil
			if errs == nil || errs[i] == nil {
				continue
			}
			u.err = errs[i]
			var r refusal
			if errors.As(errs[i], &r) {
				u.err = r.error
				continue
			}
			fatal = true
		}
		if fatal {
			c.transactions.Rollback(t)
			return together, nil
		}
	}
	if err := c.transactions.Commit(t); err != nil {
		var u undone
		if !careful && errors.As(err, &u) {
			return batch, nil
		}
		finish(batch, err)
		return nil, nil
	}
	c.commits.Add(1)
	for _, u := range batch {
		u.finish(u.err)
	}
	return nil, nil
}

// byKind puts units of one kind together, where the first of them stands.
// Units of one batch come from concurrent callers and have no order among them.
func byKind[T any](batch []*unit[T]) [][]*unit[T] {
	groups := make([][]*unit[T], 0, len(batch))
	at := make(map[any]int)
	for _, u := range batch {
		if u.kind != nil {
			if i, ok := at[u.kind]; ok {
				groups[i] = append(groups[i], u)
				continue
			}
			at[u.kind] = len(groups)
		}
		groups = append(groups, []*unit[T]{u})
	}
	return groups
}

func without[T any](batch, failed []*unit[T]) []*unit[T] {
	out := make([]*unit[T], 0, len(batch))
	bad := make(map[*unit[T]]bool, len(failed))
	for _, u := range failed {
		bad[u] = true
	}
	for _, u := range batch {
		if !bad[u] {
			out = append(out, u)
		}
	}
	return out
}

func finish[T any](units []*unit[T], err error) {
	for _, u := range units {
		u.finish(err)
	}
}

func (u *unit[T]) finish(err error) {
	u.err = err
	close(u.done)
}

func (u *unit[T]) finished() bool {
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}
