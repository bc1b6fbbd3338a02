package activities

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/connectors"
	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/plugins/host"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/schema/task"
)

// sandbox is the real pool of sandboxed connectors.
func sandbox(t *testing.T) *host.Pool {
	t.Helper()
	bin := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", bin+string(filepath.Separator),
		"github.com/tenonhq/tenon/cmd/tenon-launcher", "github.com/tenonhq/tenon/cmd/tenon-connector")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	sockets := t.TempDir()
	launcher, err := host.StartLauncher(t.Context(), filepath.Join(bin, "tenon-launcher"), sockets)
	require.NoError(t, err)
	t.Cleanup(launcher.Close)
	entry, err := host.NewEntry(connectors.Builtin()[0], filepath.Join(bin, "tenon-connector"), "http")
	require.NoError(t, err)
	pool := host.NewPool(host.PoolConfig{
		Catalog: host.NewCatalog(entry), Launcher: launcher, RunDir: sockets, Logger: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(pool.Close)
	return pool
}

// TestSandboxedConnector does with the real, sandboxed connector what the other
// tests do with it in this process: a call, a fence that falls between decision
// and intent, a database that is away, an answer that is lost.
func TestSandboxedConnector(t *testing.T) {
	t.Parallel()
	pool := sandbox(t)
	real := func(r *rig) *process {
		p := r.process()
		p.cfg.Connectors = pool
		return p
	}
	t.Run("call", func(t *testing.T) {
		each(t, ledger.Keys, func(r *rig) {
			n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), real(r)
			res := p.done(n.whole(billTask))
			require.Nil(r, res.Fault)
			require.NoError(r, p.Finish(r.Context(), task.FinishRequest{Owner: n.owner(), Key: ":finish", Output: res.Output}))
			require.JSONEq(r, `{"number":"B-000001"}`, string(n.result().Output))
			require.Equal(r, store.RunCompleted, n.row().State)
		})
	})
	t.Run("lost answer", func(t *testing.T) {
		each(t, ledger.Lookup, func(r *rig) {
			n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), real(r)
			require.NoError(r, r.book.Control(ledger.Control{Count: 1, Drop: true, When: ledger.After}))
			_, err := p.step(n.whole(billTask))
			require.Error(r, err)
			require.Nil(r, p.done(n.whole(billTask)).Fault)
			require.Equal(r, 1, r.book.Stats().Bills)
		})
	})
	t.Run("fenced", func(t *testing.T) {
		r := newRig(t, storetest.SQLite(t), ledger.Keys)
		n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), real(r)
		_, err := p.state(t.Context(), n.owner(), true)
		require.NoError(t, err)
		n.taken()
		require.True(t, p.done(n.whole(billTask)).Stopped)
		require.Zero(t, r.book.Stats().Creations)
	})
	t.Run("database away", func(t *testing.T) {
		r := newRig(t, storetest.SQLite(t), ledger.Keys)
		n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), real(r)
		_, err := p.state(t.Context(), n.owner(), true)
		require.NoError(t, err)
		require.NoError(t, r.cell.Close())
		_, err = p.step(n.whole(billTask))
		require.Error(t, err, "not a fault of the run")
		require.Zero(t, r.book.Stats().Creations)
	})
	t.Run("joined", func(t *testing.T) {
		r := newRig(t, storetest.SQLite(t), ledger.None)
		n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), real(r)
		require.NoError(t, r.book.Control(ledger.Control{Count: 1, StallMS: 1200}))
		begun := time.Now()
		res, err := p.local(n.whole(billTask))
		require.NoError(t, err)
		require.True(t, res.Slow)
		require.Less(t, time.Since(begun), task.LocalLimit)
		require.Nil(t, p.done(n.whole(billTask)).Fault)
		require.EqualValues(t, 1, r.book.Stats().Creations)
	})
}
