package evaluate

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/tenonhq/tenon/activities/evaluate/jq"
	"github.com/tenonhq/tenon/schema"
)

const (
	defaultSize    = 1
	defaultTimeout = 10 * time.Second
	// backoffFirst and backoffMost bound the pause before a process is started
	// again after one ended badly twice or more in a row.
	backoffFirst = 10 * time.Millisecond
	backoffMost  = time.Second
)

// Config configures a [Pool].
type Config struct {
	// Start starts an evaluator process. Conn carries its frames; kill ends the
	// process and all it started, at once, and may be called more than once and
	// after its end. Required.
	Start func(ctx context.Context) (conn io.ReadWriteCloser, kill func(), err error)
	// Size is the largest number of processes; 1 by default. A process is
	// started when a batch first needs it.
	Size int
	// BatchTimeout bounds one try of a batch on the clock; 10 s by default. The evaluator
	// itself bounds a batch to [jq.ProcessorTime]; this stands behind it and is
	// longer, so that a busy machine does not fail an innocent batch.
	BatchTimeout time.Duration
	// IdleAfter ends the processes once no batch came for so long; 0 keeps them.
	IdleAfter time.Duration
}

// Pool sends batches to evaluator processes. A process has one batch at a time,
// so whatever ends or stalls a process is the doing of that batch, or of
// nobody: a batch whose process ended without an answer, or gave none in time, is
// tried once more, in a new process, because evaluation has no effects. (Time passes
// for a batch, too, while its process or this one is stopped.) If it happens again, the
// batch is to blame and gets a runtime fault; every other batch goes on.
type Pool struct {
	config Config
	slots  chan *slot
	// life ends with Close.
	life context.Context
	end  context.CancelFunc
	once sync.Once
	idle *time.Timer
}

// NewPool returns a pool without any process yet.
func NewPool(c Config) *Pool {
	if c.Size <= 0 {
		c.Size = defaultSize
	}
	if c.BatchTimeout <= 0 {
		c.BatchTimeout = defaultTimeout
	}
	p := &Pool{config: c, slots: make(chan *slot, c.Size)}
	p.life, p.end = context.WithCancel(context.Background())
	for range c.Size {
		p.slots <- &slot{}
	}
	p.idle = time.AfterFunc(time.Hour, p.rest)
	p.idle.Stop()
	return p
}

// Eval evaluates a batch. What is wrong with the flow is in the result; an
// error is the platform's: CodeUnavailable when no process could be started or
// ctx ended first, CodeTooLarge for a batch beyond a frame, CodeInternal for
// one that is put together wrongly.
func (p *Pool) Eval(ctx context.Context, b Batch) (Result, error) {
	frame := jq.AppendBatch(nil, &b)
	if len(frame) > jq.MaxFrame {
		return Result{}, schema.Errorf(schema.CodeTooLarge, "the values of one evaluation are larger than %d bytes", jq.MaxFrame)
	}
	s, err := p.take(ctx)
	if err != nil {
		return Result{}, err
	}
	defer p.release(s)
	late := false
	for range 2 {
		if err := p.ready(ctx, s); err != nil {
			return Result{}, err
		}
		body, end := p.exchange(ctx, s, frame)
		switch end {
		case endAnswered:
			return s.read(body)
		case endCanceled:
			if ctx.Err() == nil {
				return Result{}, unavailable(errClosed)
			}
			return Result{}, unavailable(context.Cause(ctx))
		case endTimeout, endDied:
			late = end == endTimeout
		}
	}
	if late {
		return blame("the evaluation takes longer than " + p.config.BatchTimeout.String()), nil
	}
	return blame("the evaluation needs more memory than it may have, or ended its process otherwise"), nil
}

// Close ends all processes; a batch on its way fails with CodeUnavailable.
func (p *Pool) Close() {
	p.once.Do(func() {
		p.end()
		p.idle.Stop()
		for range p.config.Size {
			s := <-p.slots
			s.stop()
		}
	})
}

func (p *Pool) take(ctx context.Context) (*slot, error) {
	if p.life.Err() != nil {
		return nil, unavailable(errClosed)
	}
	select {
	case s := <-p.slots:
		return p.running(s), nil
	case <-p.life.Done():
		return nil, unavailable(errClosed)
	case <-ctx.Done():
		return nil, unavailable(context.Cause(ctx))
	}
}

// running prefers a slot that has a process, so that as few are started as
// batches come at a time.
func (p *Pool) running(s *slot) *slot {
	for range p.config.Size - 1 {
		if s.conn != nil {
			break
		}
		select {
		case other := <-p.slots:
			p.slots <- s
			s = other
		default:
			return s
		}
	}
	return s
}

func (p *Pool) release(s *slot) {
	p.slots <- s
	if p.config.IdleAfter > 0 && p.life.Err() == nil {
		p.idle.Reset(p.config.IdleAfter)
	}
}

// rest ends the processes that have no batch.
func (p *Pool) rest() {
	for range p.config.Size {
		select {
		case s := <-p.slots:
			s.stop()
			p.slots <- s
		default:
			return
		}
	}
}

// ready makes sure that the slot has a process, after the back-off that it owes.
func (p *Pool) ready(ctx context.Context, s *slot) error {
	if s.conn != nil {
		return nil
	}
	if pause := s.pause(); pause > 0 {
		t := time.NewTimer(pause)
		defer t.Stop()
		select {
		case <-t.C:
		case <-p.life.Done():
			return unavailable(errClosed)
		case <-ctx.Done():
			return unavailable(context.Cause(ctx))
		}
	}
	conn, kill, err := p.config.Start(ctx)
	if err != nil {
		s.failures++
		return unavailable(err)
	}
	s.open(conn, kill)
	return nil
}

// end is how an exchange ended.
type end int

const (
	endAnswered end = iota
	endDied
	endTimeout
	endCanceled
)

// exchange sends a batch and waits for the answer. Unless it is answered the
// slot's process is gone.
func (p *Pool) exchange(ctx context.Context, s *slot, frame []byte) ([]byte, end) {
	var (
		mu      sync.Mutex
		how     = endDied
		settled bool
	)
	// abort may come late, when the slot serves another batch: settled says so.
	abort := func(e end) {
		mu.Lock()
		defer mu.Unlock()
		if !settled {
			settled, how = true, e
			s.interrupt()
		}
	}
	timer := time.AfterFunc(p.config.BatchTimeout, func() { abort(endTimeout) })
	defer timer.Stop()
	defer context.AfterFunc(ctx, func() { abort(endCanceled) })()
	defer context.AfterFunc(p.life, func() { abort(endCanceled) })()
	body, err := s.exchange(frame)
	mu.Lock()
	defer mu.Unlock()
	if err == nil && !settled {
		settled = true
		s.failures = 0
		return body, endAnswered
	}
	settled = true
	s.failures++
	s.stop()
	return nil, how
}

var errClosed = errors.New("the pool is closed")

func unavailable(cause error) error {
	return &schema.Error{Code: schema.CodeUnavailable, Message: "no evaluator can be had", Err: cause}
}

func blame(detail string) Result {
	return Result{Fault: &Fault{Type: jq.FaultRuntime, Detail: detail}}
}
