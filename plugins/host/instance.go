package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/tenonhq/tenon/plugins/internal/wire"
	"github.com/tenonhq/tenon/schema"
)

const (
	// startPatience bounds the start of a connector, to its first answer.
	startPatience = 10 * time.Second
	// maxSocketPath is what the kernel takes for a socket's path, less the zero.
	maxSocketPath = 107
)

// instance is one running connector.
type instance struct {
	process *Process
	conn    *grpc.ClientConn
	client  wire.ConnectorClient
	// end stops the instance for good: the process, its connection, its log.
	end func()
}

// starter starts instances.
type starter struct {
	launcher *Launcher
	programs *verifier
	runDir   string
	logger   *slog.Logger
	limits   Limits
}

// start starts the entry's program in the sandbox, shakes hands, and makes sure
// that it is the connector that the catalog knows.
func (s *starter) start(e Entry) (_ *instance, err error) {
	program, id, err := s.programs.open(e)
	if err != nil {
		return nil, err
	}
	defer func() { _ = program.Close() }()
	box := &sandboxed{
		launcher: s.launcher, program: program, args: append([]string{e.Manifest.Name}, e.Args...), limits: s.limits,
		logger: s.logger.With("connector", e.Manifest.Name),
	}
	cfg := s.client(box)
	in := &instance{}
	var once sync.Once
	in.end = func() { once.Do(func() { s.stop(box, in) }) }
	defer func() {
		if err != nil {
			in.end()
		}
	}()
	// Only the handshake is go-plugin's. Its client would open streams on which
	// the connector could have the host keep state without bound; ours is one
	// stream per run.
	addr, err := plugin.NewClient(cfg).Start()
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "connector %s did not start: %w", e.Manifest.Name, err)
	}
	in.process = box.process
	if err := unchanged(program, id); err != nil {
		return nil, err
	}
	if in.conn, err = dial(addr, cfg); err != nil {
		return nil, err
	}
	in.client = wire.NewConnectorClient(in.conn)
	if err := s.meet(in, e); err != nil {
		return nil, err
	}
	// The one connection stands: the directory goes, and with it the last place
	// where the connector could make a file.
	_ = os.RemoveAll(box.dir)
	return in, nil
}

// client configures the handshake.
func (s *starter) client(box *sandboxed) *plugin.ClientConfig {
	handshake := wire.Handshake()
	cfg := &plugin.ClientConfig{
		HandshakeConfig: handshake, VersionedPlugins: wire.Plugins(nil),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         true, SkipHostEnv: true, StartTimeout: startPatience,
		Logger:           hclog.NewNullLogger(),
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: s.runDir},
	}
	cfg.RunnerFunc = func(_ hclog.Logger, cmd *exec.Cmd, dir string) (runner.Runner, error) {
		box.env, box.dir = handshakeOnly(cmd.Env, handshake.MagicCookieKey), dir
		return box, nil
	}
	return cfg
}

// dial opens the one connection, by the certificates of the handshake.
func dial(addr net.Addr, cfg *plugin.ClientConfig) (*grpc.ClientConn, error) {
	if cfg.TLSConfig == nil || cfg.TLSConfig.RootCAs == nil {
		return nil, schema.Errorf(schema.CodeRefused, "the connector offers no certificate")
	}
	path, dir, err := reach(addr.String())
	if err != nil {
		return nil, err
	}
	options := append(wire.DialOptions(),
		grpc.WithTransportCredentials(credentials.NewTLS(cfg.TLSConfig)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			defer func() {
				if dir != nil {
					_ = dir.Close()
				}
			}()
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}))
	conn, err := grpc.NewClient("passthrough:connector", options...)
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the connector cannot be dialled: %w", err)
	}
	return conn, nil
}

// reach gives a path to the socket that is short enough for the kernel: where
// the run directory lies deep, by way of an open directory.
func reach(path string) (string, *os.File, error) {
	if len(path) <= maxSocketPath {
		return path, nil, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, schema.Errorf(schema.CodeUnavailable, "the connector's directory cannot be opened: %w", err)
	}
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), filepath.Base(path)), dir, nil
}

// meet has the connector describe itself: its manifest must be the pinned one.
func (s *starter) meet(in *instance, e Entry) error {
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	reply, err := in.client.Describe(ctx, &wire.DescribeRequest{}, grpc.WaitForReady(false))
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "connector %s does not answer: %w", e.Manifest.Name, err)
	}
	want, err := json.Marshal(e.Manifest)
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "the manifest of connector %s is no JSON: %w", e.Manifest.Name, err)
	}
	if !bytes.Equal(want, reply.GetManifest()) {
		return schema.Errorf(schema.CodeRefused, "connector %s is not what the catalog says", e.Manifest.Name).
			Advise("the program and this release do not belong together: install both of one release")
	}
	return nil
}

// stop ends an instance at once: it holds nothing that needs a farewell.
func (s *starter) stop(box *sandboxed, in *instance) {
	if in.conn != nil {
		_ = in.conn.Close()
	}
	if box.process != nil {
		_ = box.process.Kill()
		<-box.process.Done()
	}
	if box.stdout != nil {
		_ = box.stdout.Close()
		_ = box.stderr.Close() // ends its log
	}
	if box.dir != "" {
		_ = os.RemoveAll(box.dir)
	}
}

// run runs one action.
func (in *instance) run(ctx context.Context, inv Invocation) (json.RawMessage, error) {
	call := &wire.Invoke{Action: inv.Action, Settings: inv.Settings, Input: inv.Input}
	if deadline, ok := ctx.Deadline(); ok {
		call.TimeoutMs = max(1, time.Until(deadline).Milliseconds())
	}
	e := &exit{egress: inv.Egress}
	ctx, e.abort = context.WithCancelCause(ctx)
	defer e.abort(nil)
	last, err := wire.RunAction(ctx, in.client, call, endPatience, e.answer)
	if cause := context.Cause(ctx); cause != nil {
		if own := (*aborted)(nil); errors.As(cause, &own) {
			return nil, own.err
		}
		if last.GetOutput() == nil {
			return nil, errors.Join(schema.Errorf(schema.CodeTimeout, "the action did not end in time: %w", cause), unresponsive(err))
		}
	}
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the connector failed: %w", err)
	}
	if f := last.GetFault(); f != nil {
		return nil, tame(f)
	}
	return verified(last.GetOutput())
}
