package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/worker"
)

// healthPatience bounds a health check.
const healthPatience = 5 * time.Second

// engineService is what the engine's frontend reports its health under.
const engineService = "temporal.api.workflowservice.v1.WorkflowService"

func healthCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "health", Short: "Ask a running process whether it does its work; for container health checks"}
	for _, c := range []struct {
		name, short string
		check       func(context.Context, env) error
	}{
		{"api", "Ask the API whether it is ready", apiHealth},
		{"engine", "Ask the engine's frontend whether it serves", engineHealth},
		{"host", "Ask whether a host takes cells in this data directory", hostHealth},
	} {
		cmd.AddCommand(command(c.name, c.short, func(ctx context.Context, e env) error {
			ctx, cancel := context.WithTimeout(ctx, healthPatience)
			defer cancel()
			return c.check(ctx, e)
		}))
	}
	return cmd
}

func apiHealth(ctx context.Context, e env) error {
	client, err := apiClient(e.APICA)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.APIURL+"/v1/ready", nil)
	if err != nil {
		return schema.Errorf(schema.CodeInvalid, "setting api-url must be the address of the API: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the API does not answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return schema.Errorf(schema.CodeUnavailable, "the API answered %d", resp.StatusCode)
	}
	return nil
}

func engineHealth(ctx context.Context, e env) error {
	ca, err := readOptional("engine-ca", e.EngineCA)
	if err != nil {
		return err
	}
	transport := insecure.NewCredentials()
	verified, err := worker.EngineTLS(e.Engine, ca)
	if err != nil {
		return err
	}
	if verified != nil {
		transport = credentials.NewTLS(verified)
	}
	conn, err := grpc.NewClient(e.Engine, grpc.WithTransportCredentials(transport))
	if err != nil {
		return schema.Errorf(schema.CodeInvalid, "setting engine-address must be the engine's address: %w", err)
	}
	defer func() { _ = conn.Close() }()
	answer, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: engineService})
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the engine does not answer: %w", err)
	}
	if answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return schema.Errorf(schema.CodeUnavailable, "the engine does not serve yet")
	}
	return nil
}

// hostHealth looks for who listens at the bell: it is hung when the host takes
// cells, and nobody answers there once the host is gone.
func hostHealth(ctx context.Context, e env) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unixgram", e.bell)
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "no host takes cells here: %w", err)
	}
	return conn.Close()
}
