package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bookkeeper:", err)
		os.Exit(1)
	}
}

// run serves until the context ends or the process is asked to stop.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	flags := flag.NewFlagSet("bookkeeper", flag.ContinueOnError)
	flags.SetOutput(stderr)
	directory := flags.String("dir", "", "directory for certificates, bills and the address file (required)")
	listen := flags.String("listen", "127.0.0.1:0", "loopback `address` to listen on; port 0 takes a free one")
	token := flags.String("token-file", "", "file with the Bearer token; made at random, mode 0600, when absent (default DIR/token)")
	mode := flags.String("idempotency", string(ledger.Keys), "how a repeated creation is treated: keys, lookup or none")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	server, err := ledger.Start(ledger.Config{
		Directory: *directory, Listen: *listen, TokenFile: *token, Idempotency: ledger.Mode(*mode),
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stdout, "bookkeeper listens on %s\ncertificate authority in %s\n", server.URL(), server.CAFile()); err != nil {
		return errors.Join(err, server.Close())
	}
	<-ctx.Done()
	return server.Close()
}
