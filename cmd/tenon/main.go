// Command tenon runs the platform: everything on one machine with "tenon up",
// or one process of it at a time.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tenonhq/tenon/cmd/internal/logging"
	"github.com/tenonhq/tenon/cmd/internal/settings"
	"github.com/tenonhq/tenon/plugins/host/probe"
	"github.com/tenonhq/tenon/schema"
)

// version is set by the linker for releases.
var version = "0.1.0-dev"

func main() {
	probe.Arm()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal drains; a second one ends this process as it would any
	// other, and the kernel its children.
	context.AfterFunc(ctx, stop)
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "tenon:", err)
		var e *schema.Error
		if errors.As(err, &e) {
			if e.Err != nil {
				fmt.Fprintln(os.Stderr, "  cause:", e.Err)
			}
			if e.Hint != "" {
				fmt.Fprintln(os.Stderr, "  what to do:", e.Hint)
			}
		}
		stop()
		code := 1
		if own, ok := errors.AsType[interface {
			error
			ExitCode() int
		}](err); ok {
			code = own.ExitCode()
		}
		os.Exit(code) //nolint:gocritic // stop has run.
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "tenon",
		Short:         "An integration platform that never tells a secret and never posts a bill twice",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	settings.Register(cmd.PersistentFlags())
	cmd.AddCommand(
		command("init", "Make the data directory: keys, control database, first administrator key", initialize),
		command("up", "Run everything on this machine", up),
		command("api", "Run the API and the webhook door", serveAPI),
		command("host", "Run the host, which runs the cells", runHost),
		command("cell", "Run one cell's worker: for hosts, which hand it its keys", execCell),
		command("engine", "Run the embedded engine", runEngine),
		operatorTokenCommand(), credentialsCommand(), keysCommand(), organizationsCommand(), auditCommand(), healthCommand(),
		&cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "tenon", version)
			return err
		}},
	)
	return cmd
}

// env is what every command works with.
type env struct {
	settings.Settings
	paths
	logger *slog.Logger
	cmd    *cobra.Command
}

func command(use, short string, run func(context.Context, env) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		e, err := environment(c)
		if err != nil {
			return err
		}
		return run(c.Context(), e)
	}}
}

func environment(c *cobra.Command) (env, error) {
	s, err := settings.Load(c.Flags(), os.LookupEnv)
	if err != nil {
		return env{}, err
	}
	return env{Settings: s, paths: pathsOf(s.Data), logger: logging.New(os.Stderr, s.LogFormat, s.LogLevel, c.Name()), cmd: c}, nil
}
