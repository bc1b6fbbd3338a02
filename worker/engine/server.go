package engine

import (
	"context"
	"net"
	"strconv"
	"time"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
)

const (
	clusterName    = "tenon"
	servicesHost   = "127.0.0.1"
	temporalStore  = "temporal"
	visibleStore   = "visibility"
	archiveNothing = "disabled"

	// The number of history shards can never change for a store.
	shardsSQLite   = 1
	shardsPostgres = 4
)

// services are what runs: the server's four, and the frontend that they use
// among themselves, which takes the internode certificate instead of a token.
var services = []primitives.ServiceName{
	primitives.FrontendService,
	primitives.InternalFrontendService,
	primitives.HistoryService,
	primitives.MatchingService,
	primitives.WorkerService,
}

// newServer builds the server and returns it with the frontend's address.
// Tokens that were revoked are known to the watch; what people do goes to the
// record.
func newServer(ctx context.Context, c Config, w *watch, r *record, log logger) (server temporal.Server, frontend string, err error) {
	persistence, err := stores(c, log)
	if err != nil {
		return nil, "", err
	}
	tlsProvider, err := transport(c.Certificate)
	if err != nil {
		return nil, "", err
	}
	rpc, err := addresses(ctx, c.Frontend)
	if err != nil {
		return nil, "", err
	}

	conf := &config.Config{
		Persistence: persistence,
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: address(rpc[primitives.FrontendService])},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services:            make(map[string]config.Service, len(services)),
	}
	conf.Global.Membership.MaxJoinDuration = 30 * time.Second
	conf.Global.Membership.BroadcastAddress = servicesHost
	conf.Archival.History.State = archiveNothing
	conf.Archival.Visibility.State = archiveNothing
	conf.NamespaceDefaults.Archival.History.State = archiveNothing
	conf.NamespaceDefaults.Archival.Visibility.State = archiveNothing

	names := make([]string, 0, len(services))
	hosts := make(map[primitives.ServiceName]static.Hosts, len(services))
	for _, service := range services {
		// No HTTP port: the server's HTTP API is not served at all.
		conf.Services[string(service)] = config.Service{RPC: rpc[service]}
		hosts[service] = static.SingleLocalHost(address(rpc[service]))
		names = append(names, string(service))
	}

	server, err = temporal.NewServer(
		temporal.WithConfig(conf),
		temporal.ForServices(names),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(log),
		temporal.WithTLSConfigFactory(tlsProvider),
		temporal.WithDynamicConfigClient(dynamic()),
		temporal.WithPersistenceFactoryProvider(w.factory),
		temporal.WithAuthorizer(authorizer{record: r, named: w.named}),
		temporal.WithChainedFrontendGrpcInterceptors(r.missing),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper {
			return &claimMapper{verifier: c.Verifier, now: time.Now}
		}),
	)
	return server, address(rpc[primitives.FrontendService]), err
}

// addresses gives every service its address: the frontend the configured one,
// the others a port of loopback.
func addresses(ctx context.Context, frontend string) (map[primitives.ServiceName]config.RPC, error) {
	picked := make(map[int]bool)
	host, port, err := frontendPort(ctx, frontend, picked)
	if err != nil {
		return nil, err
	}
	rpc := map[primitives.ServiceName]config.RPC{
		primitives.FrontendService: {BindOnIP: host, GRPCPort: port},
	}
	for _, service := range services[1:] {
		port, err := pickPort(ctx, servicesHost, picked)
		if err != nil {
			return nil, err
		}
		rpc[service] = config.RPC{BindOnIP: servicesHost, GRPCPort: port}
	}
	return rpc, nil
}

func address(rpc config.RPC) string {
	return net.JoinHostPort(rpc.BindOnIP, strconv.Itoa(rpc.GRPCPort))
}

// stores prepares the databases.
func stores(c Config, log logger) (config.Persistence, error) {
	if c.PostgresURL != "" {
		main, visibility, err := postgresStores(c.PostgresURL, c.DatabasePrefix, log)
		if err != nil {
			return config.Persistence{}, err
		}
		return config.Persistence{
			DefaultStore:     temporalStore,
			VisibilityStore:  visibleStore,
			NumHistoryShards: shardsPostgres,
			DataStores: map[string]config.DataStore{
				temporalStore: {SQL: main},
				visibleStore:  {SQL: visibility},
			},
		}, nil
	}
	store, err := sqliteStore(c.Directory, time.Now(), c.Logger)
	if err != nil {
		return config.Persistence{}, err
	}
	return config.Persistence{
		DefaultStore:     temporalStore,
		VisibilityStore:  temporalStore,
		NumHistoryShards: shardsSQLite,
		DataStores:       map[string]config.DataStore{temporalStore: {SQL: store}},
	}, nil
}
