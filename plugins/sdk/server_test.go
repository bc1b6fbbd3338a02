package sdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/tenonhq/tenon/plugins/internal/wire"
	"github.com/tenonhq/tenon/plugins/sdk"
)

// client serves one action by the real protocol and gives the host's end.
func client(t *testing.T, a sdk.Action) wire.ConnectorClient {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(wire.ServerOptions()...)
	sdk.Handler(sdk.Connector{Actions: map[string]sdk.Action{"a": a}})(server)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:connector", append(wire.DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return wire.NewConnectorClient(conn)
}

func run(t *testing.T, a sdk.Action, answer func(context.Context, *wire.Ask) *wire.Reply) *wire.ConnectorMessage {
	t.Helper()
	last, err := wire.RunAction(t.Context(), client(t, a), &wire.Invoke{Action: "a"}, time.Second, answer)
	require.NoError(t, err)
	return last
}

func TestEnds(t *testing.T) {
	for name, c := range map[string]struct {
		action sdk.Action
		fault  string
	}{
		"panic":     {func(context.Context, *sdk.Call) (any, error) { panic("in a connector") }, sdk.FaultRuntime},
		"error":     {func(context.Context, *sdk.Call) (any, error) { return nil, errors.New("it broke") }, sdk.FaultRuntime},
		"no JSON":   {func(context.Context, *sdk.Call) (any, error) { return make(chan int), nil }, sdk.FaultRuntime},
		"too large": {func(context.Context, *sdk.Call) (any, error) { return make([]byte, sdk.MaxMessage), nil }, sdk.FaultRuntime},
		"own fault": {func(context.Context, *sdk.Call) (any, error) { return nil, &sdk.Fault{Type: sdk.FaultTimeout} }, sdk.FaultTimeout},
		"broken text": {func(context.Context, *sdk.Call) (any, error) {
			return nil, &sdk.Fault{Type: sdk.FaultTimeout, Detail: "\xff\xfe"}
		}, sdk.FaultTimeout},
		"no text": {func(ctx context.Context, call *sdk.Call) (any, error) {
			return call.HTTP(ctx, &sdk.Request{Method: "GET", URL: "https://\xff"})
		}, sdk.FaultValidation},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.fault, run(t, c.action, nil).GetFault().GetType())
		})
	}
}

// TestConcurrentRequests: replies find their requests, in whatever order.
func TestConcurrentRequests(t *testing.T) {
	const n = 8
	var arrived sync.WaitGroup
	arrived.Add(n)
	last := run(t, func(ctx context.Context, call *sdk.Call) (any, error) {
		got := make([]string, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				r, err := call.HTTP(ctx, &sdk.Request{Method: "GET", URL: string(rune('a' + i)), Header: map[string][]string{"X": {"caf\xe9"}}})
				if err == nil {
					got[i] = string(r.Body) + r.Header["X"][0]
				}
			})
		}
		all.Wait()
		return got, nil
	}, func(_ context.Context, ask *wire.Ask) *wire.Reply {
		arrived.Done()
		arrived.Wait() // All are under way at once.
		return &wire.Reply{Result: &wire.Reply_Response{Response: &wire.Response{
			Status: 200, Body: []byte(ask.GetUrl()), Header: []*wire.Header{{Name: "X", Values: [][]byte{[]byte("!")}}},
		}}}
	})
	var got []string
	require.NoError(t, json.Unmarshal(last.GetOutput(), &got))
	assert.Equal(t, []string{"a!", "b!", "c!", "d!", "e!", "f!", "g!", "h!"}, got)
}

// TestCancel: the action learns of it, and its own deadline is the host's.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	action := func(ctx context.Context, call *sdk.Call) (any, error) {
		_, err := call.HTTP(ctx, &sdk.Request{Method: "GET", URL: "https://a.example"})
		return nil, err
	}
	last, err := wire.RunAction(ctx, client(t, action), &wire.Invoke{Action: "a"}, 5*time.Second, func(ctx context.Context, _ *wire.Ask) *wire.Reply {
		cancel()
		<-ctx.Done()
		return &wire.Reply{Result: &wire.Reply_Fault{Fault: &wire.Fault{Type: sdk.FaultTimeout}}}
	})
	require.NoError(t, err)
	assert.Equal(t, sdk.FaultTimeout, last.GetFault().GetType())

	late := func(ctx context.Context, _ *sdk.Call) (any, error) { <-ctx.Done(); return nil, ctx.Err() }
	last, err = wire.RunAction(t.Context(), client(t, late), &wire.Invoke{Action: "a", TimeoutMs: 10}, time.Second, nil)
	require.NoError(t, err)
	assert.Equal(t, sdk.FaultTimeout, last.GetFault().GetType())
}
