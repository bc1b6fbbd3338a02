// Command hostile is a connector that attacks its host, for the tests of
// package host. Its one action, attack, does what its input says and tells what
// worked; its first argument may have it misbehave before that.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/tenonhq/tenon/plugins/internal/wire"
	"github.com/tenonhq/tenon/plugins/sdk"
)

type input struct {
	Attack string   `json:"attack"`
	PID    int      `json:"pid"`
	Paths  []string `json:"paths"`
	Names  []string `json:"names"`
	Keep   string   `json:"keep"`
}

// inherited are the descriptors that were open at the very start.
var inherited []string

// kept is what an attack leaves for the next, in memory.
var kept string

func main() {
	inherited = descriptors()
	mode := "serve"
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch mode {
	case "silent":
		forever()
	case "int80": // Outside of any sandbox.
		fmt.Println(int80(20) > 0)
	case "garbage":
		fmt.Println("\x1b]0;owned\a not a handshake")
		forever()
	case "flood":
		for line := bytes.Repeat([]byte("a\n"), 1<<15); ; {
			_, _ = os.Stdout.Write(line)
		}
	case "tcp":
		fmt.Println("1|1|tcp|127.0.0.1:" + os.Args[2] + "|grpc")
		forever()
	case "elsewhere":
		fmt.Println("1|1|unix|" + os.Args[2] + "|grpc")
		forever()
	case "future":
		fmt.Println("1|99|unix|./x|grpc")
		forever()
	case "giant":
		serve(giant{})
	case "asker":
		serve(asker{})
	case "other":
		m := manifest()
		m.Actions[0].Effect = sdk.EffectRead
		sdk.Serve(sdk.Connector{Manifest: m, Actions: map[string]sdk.Action{"attack": attack}})
	default:
		sdk.Serve(sdk.Connector{Manifest: manifest(), Actions: map[string]sdk.Action{"attack": attack}})
	}
}

func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

func manifest() sdk.Manifest {
	return sdk.Manifest{Name: "hostile", Version: "0.0.1", Title: "Hostile", Actions: []sdk.ActionInfo{
		{Name: "attack", Title: "Attack", Effect: sdk.EffectWrite, Idempotency: sdk.IdempotencyNone},
	}}
}

func serve(s wire.ConnectorServer) {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: wire.Handshake(), VersionedPlugins: wire.Plugins(s), Logger: hclog.NewNullLogger(),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server { return grpc.NewServer(opts...) },
	})
}

// giant answers with more than the protocol allows.
type giant struct {
	wire.UnimplementedConnectorServer
}

func (giant) Describe(context.Context, *wire.DescribeRequest) (*wire.DescribeReply, error) {
	b, err := json.Marshal(manifest())
	return &wire.DescribeReply{Manifest: b}, err
}

func (giant) Run(s wire.Connector_RunServer) error {
	return s.Send(&wire.ConnectorMessage{Message: &wire.ConnectorMessage_Output{Output: bytes.Repeat([]byte("1"), 32<<20)}})
}

// asker asks without end and never reads an answer.
type asker struct{ giant }

func (asker) Run(s wire.Connector_RunServer) error {
	for i := uint32(1); ; i++ {
		err := s.Send(&wire.ConnectorMessage{Message: &wire.ConnectorMessage_Ask{Ask: &wire.Ask{Id: i, Method: "GET", Url: "https://a.example"}}})
		if err != nil {
			return err
		}
	}
}

func attack(ctx context.Context, call *sdk.Call) (any, error) {
	var in input
	if err := json.Unmarshal(call.Input, &in); err != nil {
		return nil, err
	}
	switch in.Attack {
	case "environment":
		return os.Environ(), nil
	case "descriptors":
		return inherited, nil
	case "open":
		return opened(in.Paths), nil
	case "write":
		return written(in.Paths), nil
	case "memory-of":
		return spied(in.PID), nil
	case "sockets":
		return sockets(), nil
	case "connect":
		return connected(in.Paths, in.Names), nil
	case "processes":
		return processes(), nil
	case "calls":
		return calls(), nil
	case "int80":
		return int80(20) > 0, nil // getpid, by the convention of i386
	case "threads":
		return threads(), nil
	case "memory":
		return memory(), nil
	case "never":
		select {}
	case "die":
		os.Exit(3)
	case "write-log":
		for range 20000 {
			_, _ = os.Stderr.WriteString("\x1b[31m{\"@level\":\"error\",\"@message\":\"forged\"}\x1b]0;owned\a" + strings.Repeat("x", 5000) + "\r\n")
		}
		return nil, nil
	case "fault":
		return nil, &sdk.Fault{Type: "https://evil.example/\x1b[2J", Status: 99999, Title: "\x1b[31mred\u202e", Detail: strings.Repeat("y", 100000)}
	case "big":
		return strings.Repeat("z", 9<<20), nil
	case "big-request":
		_, err := call.HTTP(ctx, &sdk.Request{Method: "POST", URL: "https://a.example", Body: make([]byte, 9<<20)})
		return nil, err
	case "keep":
		before := kept
		kept = in.Keep
		return before, nil
	case "fetch":
		r, err := call.HTTP(ctx, &sdk.Request{Method: "GET", URL: "https://a.example"})
		if err != nil {
			return nil, err
		}
		return r.Status, nil
	case "slow":
		<-ctx.Done()
		return nil, ctx.Err()
	case "echo":
		return json.RawMessage(call.Settings), nil
	case "stdout":
		fmt.Println("printed")
		fmt.Fprintln(os.Stderr, "printed to stderr", time.Now().Year())
		return nil, nil
	}
	return nil, errors.New("unknown attack")
}
