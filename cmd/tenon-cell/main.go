// Command tenon-cell is one organization's worker process. A host starts it and
// hands it the cell's keys over an inherited socket; it is of no use by itself.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/tenonhq/tenon/cmd/internal/confine"
	"github.com/tenonhq/tenon/cmd/internal/logging"
	"github.com/tenonhq/tenon/plugins/host"
	"github.com/tenonhq/tenon/plugins/host/probe"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/worker"
)

func main() {
	probe.Arm()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "tenon-cell:", err)
		os.Exit(1)
	}
}

func run() error {
	logger := logging.New(os.Stderr, os.Getenv("TENON_LOG_FORMAT"), os.Getenv("TENON_LOG_LEVEL"), "cell")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	tools, err := prepare(ctx)
	if err != nil {
		return err
	}
	handover := os.NewFile(worker.HandoverDescriptor, "handover")
	conn, err := net.FileConn(handover)
	if err != nil {
		return schema.Errorf(schema.CodeInvalid, "tenon-cell is started by a host, which hands it its keys").Advise("Run: tenon up")
	}
	_ = handover.Close()
	return worker.RunCell(ctx, worker.NewLine(conn), tools, logger, func(b worker.Boot) error {
		return confine.Apply(confine.Policy{
			ReadOnly: append([]string{tools.Binaries}, b.ReadOnly...), ReadWrite: b.ReadWrite, Bind: []uint16{},
			// The launcher is outside of the cell's rules and dies with it.
			Children: true,
		}, logger)
	})
}

// prepare starts the launcher, which needs what this process gives up right
// after it, before the first key is received.
func prepare(ctx context.Context) (worker.Tools, error) {
	const organization, sockets = 1, 2
	if len(os.Args) != sockets+1 {
		return worker.Tools{}, schema.Errorf(schema.CodeInvalid, "tenon-cell is started by a host, for the organization %q", os.Args[organization:]).Advise("Run: tenon up")
	}
	self, err := os.Executable()
	if err != nil {
		return worker.Tools{}, schema.Errorf(schema.CodeInternal, "this binary does not know where it is: %w", err)
	}
	binaries := filepath.Dir(self)
	launcher, err := host.StartLauncher(ctx, filepath.Join(binaries, "tenon-launcher"), os.Args[sockets])
	if err != nil {
		return worker.Tools{}, err
	}
	return worker.Tools{Launcher: launcher, Binaries: binaries}, confine.Hide()
}
