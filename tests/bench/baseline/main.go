// Command baseline is what the platform is measured against: the same flow,
// written by hand as a Temporal workflow of three plain regular activities, in
// one worker process that also takes the webhooks. It is tuned as its author
// would: eager start and eager activities, more pollers, kept-alive
// connections, a large cache, a relaxed garbage collector (GOGC, set by the
// caller). It verifies, seals, audits and sandboxes nothing.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"github.com/tenonhq/tenon/activities/platform"
)

const (
	queue     = "orders"
	retention = 24 * time.Hour
	maxBody   = 1 << 20
)

type settings struct{ engine, namespace, token, target, ca, key string }

func main() {
	var s settings
	flag.StringVar(&s.engine, "engine", "", "address of the engine")
	flag.StringVar(&s.namespace, "namespace", "baseline", "namespace of the engine, made when absent")
	flag.StringVar(&s.token, "token-file", "", "file with the engine token")
	flag.StringVar(&s.target, "target", "", "address of the bookkeeper, https://…")
	flag.StringVar(&s.ca, "ca", "", "file with its certificate authority")
	flag.StringVar(&s.key, "key-file", "", "file with its Bearer token")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "baseline:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has run.
	}
}

type bearer string

// GetHeaders implements the engine client's header provider.
func (b bearer) GetHeaders(context.Context) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func run(ctx context.Context, s settings) error {
	token, err := os.ReadFile(s.token)
	if err != nil {
		return err
	}
	books, err := newBooks(s)
	if err != nil {
		return err
	}
	c, err := client.DialContext(ctx, client.Options{
		HostPort: s.engine, Namespace: s.namespace, HeadersProvider: bearer(strings.TrimSpace(string(token))),
		Logger:            sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
		ConnectionOptions: client.ConnectionOptions{GrpcCompression: &client.GrpcCompressionNone{}},
	})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := platform.EnsureNamespace(ctx, c, s.namespace, retention); err != nil {
		return err
	}
	worker.SetStickyWorkflowCacheSize(20_000)
	w := worker.New(c, queue, worker.Options{
		MaxConcurrentWorkflowTaskPollers: 8, MaxConcurrentActivityTaskPollers: 8,
		MaxConcurrentEagerActivityExecutionSize: 1000,
	})
	w.RegisterWorkflow(orderToBill)
	w.RegisterActivity(books)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	return serve(ctx, c)
}

// serve takes webhooks: a 202 says that the engine has the workflow.
func serve(ctx context.Context, c client.Client) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in Order
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
		if err == nil {
			err = json.Unmarshal(body, &in)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, err = c.ExecuteWorkflow(r.Context(), client.StartWorkflowOptions{
			ID: r.Header.Get("Webhook-Id"), TaskQueue: queue, EnableEagerStart: true,
		}, orderToBill, in)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})}
	if _, err := fmt.Fprintln(os.Stdout, listener.Addr()); err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
