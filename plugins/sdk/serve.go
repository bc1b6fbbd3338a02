package sdk

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/tenonhq/tenon/plugins/internal/wire"
)

// MaxMessage bounds what an action gets, gives, sends and receives in one piece.
const MaxMessage = wire.MaxMessage

// Serve serves the connector to the host that started this process, and returns
// when the host has done with it. It is all that main has to do. What a
// connector prints to standard error goes, bounded and cleaned, to the host's
// debug log.
func Serve(c Connector) {
	// What lives between calls is little, and a host ends an idle connector: at
	// less than this, a busy one would collect every few calls.
	debug.SetGCPercent(200)
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  wire.Handshake(),
		VersionedPlugins: wire.Plugins(newServer(c, os.Stderr)),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, wire.ServerOptions()...)...)
		},
		Logger: hclog.NewNullLogger(),
	})
}

// Handler is the connector's side of the protocol, for a gRPC server of the
// caller's: how the acceptance suite runs a connector in-process.
func Handler(c Connector) func(grpc.ServiceRegistrar) {
	return func(r grpc.ServiceRegistrar) { wire.RegisterConnectorServer(r, newServer(c, nil)) }
}

// Describe implements the protocol's Describe. The host calls it once, first.
func (s *server) Describe(context.Context, *wire.DescribeRequest) (*wire.DescribeReply, error) {
	s.described.Do(func() {
		// The handshake library sends what is printed over a stream of its own,
		// which this host does not read; back to the real one.
		if s.stderr != nil {
			os.Stdout, os.Stderr = s.stderr, s.stderr
		}
		debug.FreeOSMemory()
	})
	return &wire.DescribeReply{Manifest: s.manifest}, nil
}
