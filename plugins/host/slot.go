package host

import (
	"context"
	"sync"
	"time"

	"github.com/tenonhq/tenon/schema"
)

// slot is a connector's place in a pool: nothing, a start under way, or a
// running instance.
type slot struct {
	pool  *Pool
	entry Entry
	turn  chan struct{}

	mu       sync.Mutex
	closed   bool
	users    int
	live     *instance
	starting *attempt
	idle     *time.Timer
	failures int
	notUntil time.Time
}

// attempt is a start under way that several runs may wait for.
type attempt struct {
	done chan struct{}
	inst *instance
	err  error
}

// enter waits for a turn.
func (s *slot) enter(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return schema.Errorf(schema.CodeTimeout, "the connector is busy: %w", ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users++
	if s.idle != nil {
		s.idle.Stop()
	}
	return nil
}

func (s *slot) leave() {
	<-s.turn
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users--
	if s.users == 0 && s.live != nil {
		s.idle = time.AfterFunc(s.pool.cfg.IdleAfter, s.rest)
	}
}

// rest stops an instance that nobody uses.
func (s *slot) rest() {
	s.mu.Lock()
	inst := s.live
	if s.users > 0 || inst == nil {
		s.mu.Unlock()
		return
	}
	s.live = nil
	s.mu.Unlock()
	inst.end()
}

// instance gives the running instance, or starts one. The start is not bound to
// ctx: others may wait for it, too.
func (s *slot) instance(ctx context.Context) (*instance, error) {
	s.mu.Lock()
	if inst := s.live; inst != nil {
		select {
		case <-inst.process.Done():
			s.lost(inst)
		default:
			s.mu.Unlock()
			return inst, nil
		}
	}
	if s.closed {
		s.mu.Unlock()
		return nil, schema.Errorf(schema.CodeUnavailable, "the cell is being stopped")
	}
	a := s.starting
	if a == nil {
		if wait := s.notUntil.Sub(s.pool.now()); wait > 0 {
			s.mu.Unlock()
			return nil, schema.Errorf(schema.CodeUnavailable, "connector %s failed %d times; it is started again in %s",
				s.entry.Manifest.Name, s.failures, wait.Round(time.Millisecond))
		}
		a = &attempt{done: make(chan struct{})}
		s.starting = a
		go s.start(a)
	}
	s.mu.Unlock()
	select {
	case <-a.done:
		return a.inst, a.err
	case <-ctx.Done():
		return nil, schema.Errorf(schema.CodeTimeout, "the connector did not start in time: %w", ctx.Err())
	}
}

func (s *slot) start(a *attempt) {
	a.inst, a.err = s.pool.starter.start(s.entry)
	s.mu.Lock()
	s.starting = nil
	closed := s.closed
	switch {
	case a.err != nil:
		s.fail()
	case !closed:
		s.live = a.inst
		if s.users == 0 { // Everyone who waited has left.
			s.idle = time.AfterFunc(s.pool.cfg.IdleAfter, s.rest)
		}
	}
	s.mu.Unlock()
	if closed && a.err == nil {
		a.inst.end()
		a.inst, a.err = nil, schema.Errorf(schema.CodeUnavailable, "the cell is being stopped")
	}
	close(a.done)
}

// fail notes a failure and puts the next start off; s.mu is held.
func (s *slot) fail() {
	s.failures++
	s.notUntil = s.pool.now().Add(min(firstBackoff<<min(s.failures-1, 16), longestBackoff))
}

// lost forgets an instance whose process has died; s.mu is held.
func (s *slot) lost(inst *instance) {
	s.live = nil
	s.fail()
	go inst.end()
}

// drop ends an instance that misbehaved.
func (s *slot) drop(inst *instance) {
	s.mu.Lock()
	if s.live == inst {
		s.live = nil
		s.fail()
	}
	s.mu.Unlock()
	inst.end()
}

// settle forgets past failures once an action has ended well.
func (s *slot) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = 0
}

func (s *slot) close() {
	s.mu.Lock()
	s.closed = true
	inst, a := s.live, s.starting
	s.live = nil
	if s.idle != nil {
		s.idle.Stop()
	}
	s.mu.Unlock()
	if a != nil {
		<-a.done
	}
	if inst != nil {
		inst.end()
	}
}
