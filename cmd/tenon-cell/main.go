// Command tenon-cell is one organization's worker process. A host starts it and
// hands it the cell's keys over an inherited socket; it is of no use by itself.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/tenonhq/tenon/cmd/internal/confine"
	"github.com/tenonhq/tenon/cmd/internal/logging"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/worker"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "tenon-cell:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := confine.Hide(); err != nil {
		return err
	}
	handover := os.NewFile(worker.HandoverDescriptor, "handover")
	conn, err := net.FileConn(handover)
	if err != nil {
		return schema.Errorf(schema.CodeInvalid, "tenon-cell is started by a host, which hands it its keys").Advise("Run: tenon up")
	}
	_ = handover.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logger := logging.New(os.Stderr, os.Getenv("TENON_LOG_FORMAT"), os.Getenv("TENON_LOG_LEVEL"), "cell")
	return worker.RunCell(ctx, worker.NewLine(conn), logger, func(b worker.Boot) error {
		return confine.Apply(confine.Policy{ReadOnly: b.ReadOnly, ReadWrite: b.ReadWrite, Execute: []string{b.Binaries}}, logger)
	})
}
