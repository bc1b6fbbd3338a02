package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/server/temporal"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/worker/engine/internal/webui"
)

// frontendHealth is the name under which the frontend reports its health.
const frontendHealth = "temporal.api.workflowservice.v1.WorkflowService"

// stopUI bounds how long requests of the UI may take to end.
const stopUI = 2 * time.Second

// Engine is a running Temporal server.
type Engine struct {
	server   temporal.Server
	frontend string
	client   *grpc.ClientConn
	ui       *http.Server
	uiAddr   string
	record   *record
	log      logger
	stop     sync.Once
	stopped  chan struct{}
	err      error
}

// Start runs a server and returns when its frontend answers. The context
// bounds the start only; Stop ends the server.
func Start(ctx context.Context, c Config) (*Engine, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	log := logger{to: c.Logger, ending: new(atomic.Bool)}
	w := new(watch)
	c.Verifier = current{Verifier: c.Verifier, revocations: &w.revocations}
	r := newRecord(c)
	server, frontend, err := newServer(ctx, c, w, r, log)
	if err != nil {
		r.end(ctx)
		return nil, unavailable("the engine cannot be set up", err)
	}
	e := &Engine{server: server, frontend: frontend, record: r, log: log, stopped: make(chan struct{})}
	if err := e.run(ctx, c); err != nil {
		// What the start left behind is ended; its own error is what counts.
		_ = e.Stop(context.WithoutCancel(ctx))
		return nil, err
	}
	return e, nil
}

func (e *Engine) run(ctx context.Context, c Config) (err error) {
	if err := e.server.Start(); err != nil {
		return unavailable("the engine cannot start", err)
	}
	if e.client, err = e.dial(c); err != nil {
		return unavailable("the engine's frontend cannot be reached", err)
	}
	if err := e.healthy(ctx); err != nil {
		return unavailable("the engine's frontend does not answer", err)
	}
	if c.UI == "" {
		return nil
	}
	return e.serveUI(ctx, c)
}

// dial connects to the own frontend, for the UI and the health check.
func (e *Engine) dial(c Config) (*grpc.ClientConn, error) {
	transport := insecure.NewCredentials()
	if c.Certificate != nil {
		pinned, err := pin(c.Certificate)
		if err != nil {
			return nil, err
		}
		transport = credentials.NewTLS(pinned)
	}
	return grpc.NewClient(e.frontend,
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(webui.MaxAnswer)),
		grpc.WithUnaryInterceptor(webui.OwnNamespaces(c.Verifier)),
	)
}

// pin makes a client that trusts exactly the certificate that the frontend
// was given: it is our own process, whatever names the certificate carries.
func pin(certificate *tls.Certificate) (*tls.Config, error) {
	if len(certificate.Certificate) == 0 {
		return nil, schema.Errorf(schema.CodeInvalid, "the certificate is empty").At("/certificate")
	}
	want := certificate.Certificate[0]
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// The chain is not verified by name; VerifyConnection compares the
		// whole certificate instead, of resumed sessions too.
		InsecureSkipVerify: true, //nolint:gosec // Pinned below.
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, want) {
				return schema.Errorf(schema.CodeUnauthenticated, "the frontend's certificate is not ours")
			}
			return nil
		},
	}, nil
}

// healthy waits until the frontend serves.
func (e *Engine) healthy(ctx context.Context) error {
	health := healthpb.NewHealthClient(e.client)
	for {
		answer, err := health.Check(ctx, &healthpb.HealthCheckRequest{Service: frontendHealth}, grpc.WaitForReady(true))
		if err == nil && answer.GetStatus() == healthpb.HealthCheckResponse_SERVING {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (e *Engine) serveUI(ctx context.Context, c Config) error {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", c.UI)
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the engine's web UI cannot listen on %s: %w", c.UI, err).At("/ui").
			Advise("stop what listens there, or configure another address")
	}
	e.uiAddr = listener.Addr().String()
	host := c.UIHost
	if host == "" {
		host = e.uiAddr
	}
	handler, err := webui.New(webui.Config{
		Address:       host,
		Secure:        c.Certificate != nil,
		Frontend:      e.client,
		Verifier:      c.Verifier,
		CodecEndpoint: c.CodecEndpoint,
		CodecCA:       c.CodecCA,
		Login:         e.record.login,
		Logger:        c.Logger,
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	e.ui = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
	}
	if c.Certificate != nil {
		listener = tls.NewListener(listener, &tls.Config{
			MinVersion:   tls.VersionTLS12,
			Certificates: []tls.Certificate{*c.Certificate},
			NextProtos:   []string{"h2", "http/1.1"},
		})
	}
	go func() {
		if err := e.ui.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			e.log.to.ErrorContext(ctx, "the engine's web UI ended", "error", err)
		}
	}()
	return nil
}

// Frontend is the address of the gRPC frontend.
func (e *Engine) Frontend() string { return e.frontend }

// UI is the address of the web UI, empty when there is none.
func (e *Engine) UI() string { return e.uiAddr }

// Stop ends the server: the UI first, then the services in the order in which
// they depend on one another, the record last. It returns when all has ended, or
// with the context's error when that comes first. It can be called again.
func (e *Engine) Stop(ctx context.Context) error {
	e.stop.Do(func() {
		e.log.ending.Store(true)
		go func() {
			defer close(e.stopped)
			if e.ui != nil {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopUI)
				defer cancel()
				if err := e.ui.Shutdown(ctx); err != nil {
					_ = e.ui.Close()
				}
			}
			if e.client != nil {
				_ = e.client.Close()
			}
			if err := e.server.Stop(); err != nil {
				e.err = unavailable("the engine did not end well", err)
			}
			e.record.end(context.WithoutCancel(ctx))
		}()
	})
	select {
	case <-e.stopped:
		return e.err
	case <-ctx.Done():
		return unavailable("the engine did not end in time", ctx.Err())
	}
}

// unavailable keeps an error of ours and wraps any other.
func unavailable(message string, err error) error {
	var known *schema.Error
	if errors.As(err, &known) {
		return err
	}
	return schema.Errorf(schema.CodeUnavailable, message+": %w", err)
}
