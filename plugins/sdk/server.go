package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tenonhq/tenon/plugins/internal/wire"
)

// server is the connector's side of the protocol.
type server struct {
	wire.UnimplementedConnectorServer
	connector Connector
	manifest  []byte
	stderr    *os.File
	described sync.Once
}

func newServer(c Connector, stderr *os.File) *server {
	manifest, err := json.Marshal(c.Manifest)
	if err != nil {
		// A schema that is no JSON: the manifest is empty and the host says so.
		fmt.Fprintln(os.Stderr, "the manifest is no JSON:", err)
	}
	return &server{connector: c, manifest: manifest, stderr: stderr}
}

// Run implements the protocol's Run: one run of an action.
func (s *server) Run(stream wire.Connector_RunServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	in := first.GetInvoke()
	if in == nil {
		return status.Error(codes.InvalidArgument, "the first message must be the invocation")
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	if ms := in.GetTimeoutMs(); ms > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
		defer stop()
	}
	l := &line{stream: stream, waiting: make(map[uint32]chan *wire.Reply)}
	go l.receive(cancel)
	return l.send(s.run(ctx, in, l))
}

// run runs the action and turns its end into the last message.
func (s *server) run(ctx context.Context, in *wire.Invoke, l *line) *wire.ConnectorMessage {
	action, ok := s.connector.Actions[in.GetAction()]
	if !ok {
		return fault(&Fault{Type: FaultConfiguration, Title: "No such action"})
	}
	out, err := protect(ctx, action, &Call{Settings: in.GetSettings(), Input: in.GetInput(), egress: l.ask})
	if err != nil {
		return fault(asFault(ctx, err))
	}
	output, err := json.Marshal(out)
	switch {
	case err != nil:
		return fault(&Fault{Type: FaultRuntime, Title: "The action's output is no JSON", Detail: err.Error()})
	case len(output) > MaxMessage:
		return fault(&Fault{Type: FaultRuntime, Title: "The action's output is too large"})
	}
	return &wire.ConnectorMessage{Message: &wire.ConnectorMessage_Output{Output: output}}
}

// protect keeps a panic in one action from ending the others.
func protect(ctx context.Context, action Action, call *Call) (out any, err error) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(os.Stderr, "action panicked: %v\n%s", r, debug.Stack())
			out, err = nil, &Fault{Type: FaultRuntime, Title: "The connector failed", Detail: "its action panicked; its log says where"}
		}
	}()
	return action(ctx, call)
}

func asFault(ctx context.Context, err error) *Fault {
	var f *Fault
	switch {
	case errors.As(err, &f):
		return f
	case ctx.Err() != nil:
		return &Fault{Type: FaultTimeout, Title: "The action was cancelled"}
	}
	return &Fault{Type: FaultRuntime, Title: "The action failed", Detail: err.Error()}
}

func fault(f *Fault) *wire.ConnectorMessage {
	return &wire.ConnectorMessage{Message: &wire.ConnectorMessage_Fault{Fault: toWire(f)}}
}

func toWire(f *Fault) *wire.Fault {
	return &wire.Fault{
		Type: clip(f.Type, 64), Status: int32(min(max(f.Status, 0), 999)),
		Title: clip(f.Title, 256), Detail: clip(f.Detail, 4096),
	}
}

// clip bounds a text; the protocol carries valid UTF-8 only.
func clip(s string, n int) string {
	return strings.ToValidUTF8(s[:min(len(s), n)], "")
}

// line is one stream: several requests may wait on it.
type line struct {
	stream  wire.Connector_RunServer
	sending sync.Mutex

	mu      sync.Mutex
	last    uint32
	closed  bool
	waiting map[uint32]chan *wire.Reply
}

func (l *line) send(m *wire.ConnectorMessage) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	return l.stream.Send(m)
}

// receive hands replies to those who wait, until the host ends the run.
func (l *line) receive(cancel context.CancelFunc) {
	for {
		m, err := l.stream.Recv()
		if err != nil || m.GetCancel() != nil {
			cancel()
		}
		if err != nil {
			l.mu.Lock()
			l.closed = true
			l.mu.Unlock()
			return
		}
		if r := m.GetReply(); r != nil {
			l.mu.Lock()
			ch := l.waiting[r.GetId()]
			delete(l.waiting, r.GetId())
			l.mu.Unlock()
			if ch != nil {
				ch <- r
			}
		}
	}
}

// ask sends a request to the host and waits for its reply.
func (l *line) ask(ctx context.Context, r *Request) (*Response, error) {
	size := len(r.URL) + len(r.Body)
	for name, values := range r.Header {
		size += len(name)
		for _, v := range values {
			size += len(v)
		}
	}
	if size > MaxMessage {
		return nil, &Fault{Type: FaultValidation, Title: "The request is too large"}
	}
	if !utf8.ValidString(r.URL) || !utf8.ValidString(r.Method) {
		return nil, &Fault{Type: FaultValidation, Title: "The request's method or address is no text"}
	}
	ch := make(chan *wire.Reply, 1)
	l.mu.Lock()
	l.last++
	id := l.last
	if !l.closed {
		l.waiting[id] = ch
	}
	l.mu.Unlock()
	err := l.send(&wire.ConnectorMessage{Message: &wire.ConnectorMessage_Ask{Ask: &wire.Ask{
		Id: id, Method: r.Method, Url: r.URL, Header: wire.FromHeader(r.Header), Body: r.Body,
	}}})
	if err != nil {
		return nil, fmt.Errorf("ask the host: %w", err)
	}
	select {
	case reply := <-ch:
		if f := reply.GetFault(); f != nil {
			return nil, &Fault{Type: f.GetType(), Status: int(f.GetStatus()), Title: f.GetTitle(), Detail: f.GetDetail()}
		}
		resp := reply.GetResponse()
		return &Response{Status: int(resp.GetStatus()), Header: wire.ToHeader(resp.GetHeader()), Body: resp.GetBody()}, nil
	case <-ctx.Done():
		l.mu.Lock()
		delete(l.waiting, id)
		l.mu.Unlock()
		return nil, ctx.Err()
	}
}
