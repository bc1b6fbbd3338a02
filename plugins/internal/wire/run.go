package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// maxAsks bounds the requests that one run may have open at a time.
const maxAsks = 16

var (
	// ErrUnresponsive says that the action did not end in time after it was asked to.
	ErrUnresponsive = errors.New("the action did not end when it was cancelled")
	// ErrProtocol says that the connector does not keep to the protocol.
	ErrProtocol = errors.New("the connector does not keep to the protocol")
)

// RunAction is the host's side of one run of an action. It returns the last
// message, an output or a fault. When ctx is done it asks the action to end and
// gives it grace for that. Each request of the connector is handed to answer,
// whose context ends with ctx and with the run; RunAction returns only after
// every answer has, so that what became of a request is known by then.
func RunAction(ctx context.Context, client ConnectorClient, in *Invoke, grace time.Duration,
	answer func(context.Context, *Ask) *Reply,
) (*ConnectorMessage, error) {
	streamCtx, end := context.WithCancel(context.WithoutCancel(ctx))
	askCtx, endAsks := context.WithCancel(ctx)
	r := &run{answer: answer, end: end, began: make(chan struct{})}
	defer r.asks.Wait()
	defer end()
	defer endAsks()
	// From before the stream is there: a connector may allow none.
	defer context.AfterFunc(ctx, func() { r.cancel(streamCtx, grace) })()
	stream, err := client.Run(streamCtx)
	switch {
	case r.overdue.Load():
		return nil, ErrUnresponsive
	case err != nil:
		return nil, err
	}
	r.stream = stream
	r.send(&HostMessage{Message: &HostMessage_Invoke{Invoke: in}})
	close(r.began)
	for {
		m, err := stream.Recv()
		switch {
		case r.overdue.Load():
			return nil, ErrUnresponsive
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%w: it ended without output or fault", ErrProtocol)
		case err != nil:
			return nil, err
		}
		if last, err := r.take(askCtx, m); last != nil || err != nil {
			return last, err
		}
	}
}

type run struct {
	stream Connector_RunClient
	answer func(context.Context, *Ask) *Reply
	end    context.CancelFunc
	asks   sync.WaitGroup
	// began is closed once the invocation, which is always the first message, is sent.
	began chan struct{}
	// overdue: the stream was ended because the action did not.
	overdue atomic.Bool

	mu   sync.Mutex // guards open
	open int

	sending sync.Mutex
}

// cancel asks the action to end, and ends the stream when it did not in time. Both
// sides may be blocked meanwhile, until the stream ends.
func (r *run) cancel(ctx context.Context, grace time.Duration) {
	late := time.AfterFunc(grace, func() {
		r.overdue.Store(ctx.Err() == nil)
		r.end()
	})
	context.AfterFunc(ctx, func() { late.Stop() })
	select {
	case <-r.began:
		r.send(&HostMessage{Message: &HostMessage_Cancel{Cancel: &Cancel{}}})
	case <-ctx.Done():
	}
}

// take handles one message; the last one ends the run.
func (r *run) take(ctx context.Context, m *ConnectorMessage) (*ConnectorMessage, error) {
	switch x := m.GetMessage().(type) {
	case *ConnectorMessage_Output, *ConnectorMessage_Fault:
		return m, nil
	case *ConnectorMessage_Ask:
		r.mu.Lock()
		r.open++
		tooMany := r.open > maxAsks
		r.mu.Unlock()
		if tooMany {
			return nil, fmt.Errorf("%w: more than %d requests at a time", ErrProtocol, maxAsks)
		}
		r.asks.Go(func() {
			reply := r.answer(ctx, x.Ask)
			reply.Id = x.Ask.GetId()
			r.mu.Lock()
			r.open--
			r.mu.Unlock()
			r.send(&HostMessage{Message: &HostMessage_Reply{Reply: reply}})
		})
		return nil, nil
	default:
		return nil, fmt.Errorf("%w: unknown message", ErrProtocol)
	}
}

// send may block on a connector that does not read, until the stream ends; that
// it failed is told by the receiving side.
func (r *run) send(m *HostMessage) {
	r.sending.Lock()
	defer r.sending.Unlock()
	_ = r.stream.Send(m)
}
