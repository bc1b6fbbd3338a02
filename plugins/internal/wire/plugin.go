package wire

import (
	"context"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

const (
	// MaxMessage bounds what an action gets, gives, sends and receives in one piece.
	MaxMessage = 8 << 20
	// maxFrame bounds a message of the protocol: one piece and what stands
	// around it, headers above all.
	maxFrame = MaxMessage + 256<<10
	// window is how much either end sends ahead of what is read, of a run and of
	// all of them. A given one keeps gRPC from measuring the line, for which it
	// answers what it receives with pings.
	window = 1 << 20
	// Version of the protocol. A host serves several by several entries in
	// [Plugins]; the handshake picks the highest that both ends know.
	Version = 1
	// service is the name of the one plugin in a set.
	service = "connector"
)

// Handshake keeps a connector that is started by hand from waiting for a host.
// It is no secret and no protection.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{
		ProtocolVersion:  Version,
		MagicCookieKey:   "TENON_CONNECTOR",
		MagicCookieValue: "4b1d7b5c-7f1e-4c60-9a55-6f0c6b1f2d9e",
	}
}

// Plugins are the sets of plugins by version of the protocol. The host, which
// dials by itself, passes nil.
func Plugins(server ConnectorServer) map[int]plugin.PluginSet {
	return map[int]plugin.PluginSet{Version: {service: &connectorPlugin{server: server}}}
}

// ServerOptions bound what a connector accepts.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxFrame), grpc.MaxSendMsgSize(maxFrame),
		grpc.MaxHeaderListSize(16 << 10), grpc.NumStreamWorkers(0),
		grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window),
	}
}

// DialOptions bound what a host accepts of a connector.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxFrame), grpc.MaxCallSendMsgSize(maxFrame)),
		grpc.WithMaxHeaderListSize(16 << 10), grpc.WithIdleTimeout(0), grpc.WithDisableServiceConfig(),
		grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window),
	}
}

type connectorPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	server ConnectorServer
}

// GRPCServer implements plugin.GRPCPlugin.
func (p *connectorPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	RegisterConnectorServer(s, p.server)
	return nil
}

// GRPCClient implements plugin.GRPCPlugin.
func (p *connectorPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return NewConnectorClient(conn), nil
}
