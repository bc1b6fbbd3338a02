package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
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
	r := &run{answer: answer, received: make(chan *ConnectorMessage), failed: make(chan error, 1)}
	defer r.asks.Wait()
	defer end()
	defer endAsks()
	stream, err := client.Run(streamCtx)
	if err != nil {
		return nil, err
	}
	r.stream = stream
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		r.send(&HostMessage{Message: &HostMessage_Invoke{Invoke: in}})
	}()
	go r.receive(streamCtx)

	cancelled := ctx.Done()
	var overdue <-chan time.Time
	for {
		select {
		case m := <-r.received:
			last, err := r.take(askCtx, m)
			if last != nil || err != nil {
				return last, err
			}
		case err := <-r.failed:
			return nil, err
		case <-cancelled:
			cancelled = nil
			timer := time.NewTimer(grace)
			defer timer.Stop()
			overdue = timer.C
			go func() {
				<-sent // The invocation is always the first message.
				r.send(&HostMessage{Message: &HostMessage_Cancel{Cancel: &Cancel{}}})
			}()
		case <-overdue:
			return nil, ErrUnresponsive
		}
	}
}

type run struct {
	stream   Connector_RunClient
	answer   func(context.Context, *Ask) *Reply
	received chan *ConnectorMessage
	failed   chan error
	asks     sync.WaitGroup

	mu   sync.Mutex // guards open
	open int

	sending sync.Mutex
}

func (r *run) receive(ctx context.Context) {
	for {
		m, err := r.stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("%w: it ended without output or fault", ErrProtocol)
			}
			r.failed <- err
			return
		}
		select {
		case r.received <- m:
		case <-ctx.Done():
			return
		}
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
