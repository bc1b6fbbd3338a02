package host

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"

	"github.com/tenonhq/tenon/schema"
)

// maxHandshake bounds what is read of a connector's standard output: the one
// line of the handshake. Nothing is read after it.
const maxHandshake = 16 << 10

// sandboxed starts a connector through the launcher, for go-plugin.
type sandboxed struct {
	launcher *Launcher
	program  *os.File
	args     []string
	env      []string
	dir      string
	limits   Limits
	logger   *slog.Logger

	process        *Process
	stdout, stderr *os.File
}

var _ runner.Runner = (*sandboxed)(nil)

// handshakeOnly are the variables that go-plugin sets and a connector needs:
// that, and nothing else, is its environment.
func handshakeOnly(env []string, cookie string) []string {
	var out []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		if slices.Contains([]string{cookie, "PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_CLIENT_CERT"}, name) {
			out = append(out, kv)
		}
	}
	// The sandbox starts the connector in its socket directory, whose place on
	// the host is none of its business.
	return append(out, plugin.EnvUnixSocketDir+"=.")
}

// Start implements runner.Runner.
func (s *sandboxed) Start(ctx context.Context) error {
	stdout, childOut, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = childOut.Close() }()
	stderr, childErr, err := os.Pipe()
	if err != nil {
		_ = stdout.Close()
		return err
	}
	defer func() { _ = childErr.Close() }()
	s.process, err = s.launcher.Start(ctx, Spec{
		Executable: s.program, Args: s.args, Env: s.env, Stdout: childOut, Stderr: childErr,
		SocketDir: s.dir, Limits: s.limits,
	})
	if err != nil {
		_ = stdout.Close()
		_ = stderr.Close()
		return err
	}
	s.stdout, s.stderr = stdout, stderr
	go speech(context.WithoutCancel(ctx), s.logger, stderr)
	return nil
}

// Stdout implements runner.Runner: the handshake.
func (s *sandboxed) Stdout() io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(s.stdout, maxHandshake), s.stdout}
}

// Stderr implements runner.Runner: go-plugin reads nothing, for it would take
// levels and fields from what a stranger writes.
func (*sandboxed) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// PluginToHost implements runner.AddrTranslator. The connector names a socket in
// its directory: a file name, and a socket, or the host goes nowhere.
func (s *sandboxed) PluginToHost(network, address string) (string, string, error) {
	name := strings.TrimPrefix(address, "./")
	if network != "unix" || name == "" || name == ".." || name == "." || filepath.Base(name) != name {
		return "", "", errors.New("the connector names no socket of its own")
	}
	path := filepath.Join(s.dir, name)
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return "", "", errors.New("the connector names no socket of its own")
	}
	return network, path, nil
}

// HostToPlugin implements runner.AddrTranslator: a connector dials nobody.
func (*sandboxed) HostToPlugin(string, string) (string, string, error) {
	return "", "", errors.New("a connector dials nobody")
}

// Wait implements runner.AttachedRunner.
func (s *sandboxed) Wait(ctx context.Context) error {
	status, err := s.process.Wait(ctx)
	if err == nil && status != "exit 0" {
		return schema.Errorf(schema.CodeUnavailable, "the connector ended: %s", status)
	}
	return err
}

// Kill implements runner.AttachedRunner.
func (s *sandboxed) Kill(context.Context) error {
	if s.process == nil {
		return nil
	}
	return s.process.Kill()
}

// ID implements runner.AttachedRunner.
func (s *sandboxed) ID() string {
	if s.process == nil {
		return ""
	}
	return strconv.Itoa(s.process.PID)
}

// Name implements runner.Runner.
func (s *sandboxed) Name() string { return s.args[0] }

// Diagnose implements runner.Runner.
func (*sandboxed) Diagnose(context.Context) string { return "" }
