package host

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/connectors"
	"github.com/tenonhq/tenon/plugins/host/internal/order"
	"github.com/tenonhq/tenon/plugins/sdk"
)

// bin holds the real programs, built once: what runs in production, and the
// hostile connector.
var bin string

func TestMain(m *testing.M) { os.Exit(build(m)) }

// built names the directory of the programs where another process built them.
const built = "TENON_TEST_BUILT"

func build(m *testing.M) int {
	if bin = os.Getenv(built); bin != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "tenon-host")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bin = dir
	if err := os.Chmod(dir, 0o755); err != nil { // Another user runs them, too.
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for name, pkg := range map[string]string{
		"tenon-launcher": "../../cmd/tenon-launcher", "tenon-connector": "../../cmd/tenon-connector", "hostile": "./testdata/hostile",
	} {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, name), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", name, err, out)
			return 1
		}
	}
	return m.Run()
}

// modes runs a test with the full sandbox and with the fallback.
func modes(t *testing.T, f func(t *testing.T, l *Launcher, full bool)) {
	t.Helper()
	for _, full := range []bool{true, false} {
		name := "namespaces"
		if !full {
			name = "fallback"
		}
		t.Run(name, func(t *testing.T) { f(t, launch(t, full), full) })
	}
}

func launch(t *testing.T, full bool) *Launcher {
	t.Helper()
	start := StartLauncher
	if !full {
		start = func(ctx context.Context, path, directory string) (*Launcher, error) {
			return startLauncher(ctx, exec.Command(path, order.WithoutNamespaces, directory))
		}
	}
	directory := t.TempDir()
	l, err := start(t.Context(), filepath.Join(bin, "tenon-launcher"), directory)
	require.NoError(t, err)
	t.Cleanup(l.Close)
	directories.Store(l, directory)
	return l
}

// directories are where each launcher takes socket directories from.
var directories sync.Map

// runDir makes a directory for the sockets of a pool.
func runDir(t testing.TB, l *Launcher) string {
	t.Helper()
	base, ok := directories.Load(l)
	require.True(t, ok)
	dir, err := os.MkdirTemp(base.(string), "cell") //nolint:forcetypeassert,usetesting // Where the launcher sees it.
	require.NoError(t, err)
	return dir
}

func hostileManifest() sdk.Manifest {
	return sdk.Manifest{Name: "hostile", Version: "0.0.1", Title: "Hostile", Actions: []sdk.ActionInfo{
		{Name: "attack", Title: "Attack", Effect: sdk.EffectWrite, Idempotency: sdk.IdempotencyNone},
	}}
}

func entry(t *testing.T, args ...string) Entry {
	t.Helper()
	e, err := NewEntry(hostileManifest(), filepath.Join(bin, "hostile"), args...)
	require.NoError(t, err)
	return e
}

func httpEntry(t testing.TB) Entry {
	t.Helper()
	e, err := NewEntry(connectors.Builtin()[0], filepath.Join(bin, "tenon-connector"), "http")
	require.NoError(t, err)
	return e
}

func pool(t *testing.T, l *Launcher, e Entry, logger *slog.Logger) *Pool {
	t.Helper()
	p := NewPool(PoolConfig{Catalog: NewCatalog(e), Launcher: l, RunDir: runDir(t, l), Logger: logger})
	t.Cleanup(p.Close)
	return p
}

// attack has the hostile connector attack.
func attack(ctx context.Context, p *Pool, input map[string]any, egress Egress) (json.RawMessage, error) {
	in, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	return p.Invoke(ctx, Invocation{Connector: "hostile", Action: "attack", Input: in, Settings: json.RawMessage(`{"a":1}`), Egress: egress})
}
