package host

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
)

// TestStranger attacks from inside a connector (Invariant 4). Every attack tells
// what worked: nothing may.
func TestStranger(t *testing.T) {
	t.Setenv("TENON_CANARY", "in the host's environment")
	modes(t, func(t *testing.T, l *Launcher, full bool) {
		data := t.TempDir()
		secret := filepath.Join(data, "cell.db")
		require.NoError(t, os.WriteFile(secret, []byte("sealed, and still not for it"), 0o600))
		public := filepath.Join(data, "public")
		require.NoError(t, os.WriteFile(public, []byte("readable by all"), 0o644))
		socket := filepath.Join(data, "door.sock")
		path, err := net.Listen("unix", socket)
		require.NoError(t, err)
		defer func() { _ = path.Close() }()
		abstract, err := net.Listen("unix", "@tenon-test-"+filepath.Base(data)+t.Name())
		require.NoError(t, err)
		defer func() { _ = abstract.Close() }()

		p := pool(t, l, entry(t), nil)
		files := []string{
			"/etc/passwd", "/proc/1/environ", "/proc/self/environ", "/proc/self/mem", "/proc/self/maps", "/proc/mounts", "/proc",
			"/", "/sys", "/dev/null", "/dev/urandom", "/tmp", data, secret, public, filepath.Join(bin, "hostile"), "..", "../..",
		}
		none := map[string]map[string]any{
			"descriptors": {}, "open": {"paths": files}, "write": {"paths": []string{data, filepath.Dir(p.cfg.RunDir), p.cfg.RunDir}},
			"memory-of": {"pid": os.Getpid()}, "sockets": {}, "processes": {}, "calls": {},
			"connect": {"paths": []string{socket}, "names": []string{strings.TrimPrefix(abstract.Addr().String(), "@")}},
		}
		for name, input := range none {
			t.Run(name, func(t *testing.T) {
				input["attack"] = name
				out, err := attack(t.Context(), p, input, nil)
				require.NoError(t, err)
				if name == "open" && !full {
					// Its own program is the one file that the fallback lets it read:
					// Landlock cannot allow execution alone.
					out = json.RawMessage(strings.ReplaceAll(string(out), `"`+filepath.Join(bin, "hostile")+`"`, ""))
				}
				assert.JSONEq(t, "[]", string(out))
			})
		}
		for _, pid := range []int{1, os.Getppid(), l.cmd.Process.Pid} {
			out, err := attack(t.Context(), p, map[string]any{"attack": "memory-of", "pid": pid}, nil)
			require.NoError(t, err)
			if full && pid == 1 {
				// In its namespace 1 is the connector itself.
				out = json.RawMessage(strings.ReplaceAll(string(out), `"tgkill"`, ""))
			}
			assert.JSONEq(t, "[]", string(out), "process %d", pid)
		}
		t.Run("environment", func(t *testing.T) {
			out, err := attack(t.Context(), p, map[string]any{"attack": "environment"}, nil)
			require.NoError(t, err)
			var env []string
			require.NoError(t, json.Unmarshal(out, &env))
			for _, kv := range env {
				name, _, _ := strings.Cut(kv, "=")
				assert.Contains(t, []string{"TENON_CONNECTOR", "PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_CLIENT_CERT", "PLUGIN_UNIX_SOCKET_DIR"}, name)
			}
			assert.NotContains(t, string(out), p.cfg.RunDir)
		})
		t.Run("int80", func(t *testing.T) {
			// Free, as a stranger would be without the sandbox. A kernel without the
			// convention of i386 kills the process; what the policy says of such a
			// call is proven by its own test.
			free, dies := exec.CommandContext(t.Context(), filepath.Join(bin, "hostile"), "int80").Output()
			out, err := attack(t.Context(), p, map[string]any{"attack": "int80"}, nil)
			if dies == nil {
				assert.Equal(t, "true\n", string(free))
				require.NoError(t, err)
				assert.JSONEq(t, "false", string(out))
			} else {
				assert.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
			}
			require.Eventually(t, func() bool {
				_, err = attack(t.Context(), p, map[string]any{"attack": "stdout"}, nil)
				return err == nil
			}, 10*time.Second, 20*time.Millisecond)
		})
		t.Run("threads", func(t *testing.T) {
			out, err := attack(t.Context(), p, map[string]any{"attack": "threads"}, nil)
			if err == nil { // Else it died of it, which is as well.
				var n int
				require.NoError(t, json.Unmarshal(out, &n))
				assert.Less(t, n, 100)
			}
		})
	})
}

// TestBombs have a connector die of its own doing; the next run gets a new one.
func TestBombs(t *testing.T) {
	modes(t, func(t *testing.T, l *Launcher, _ bool) {
		p := pool(t, l, entry(t), nil)
		for _, name := range []string{"memory", "die"} {
			_, err := attack(t.Context(), p, map[string]any{"attack": name}, nil)
			assert.Equal(t, schema.CodeUnavailable, schema.CodeOf(err), name)
			require.Eventually(t, func() bool {
				_, err = attack(t.Context(), p, map[string]any{"attack": "stdout"}, nil)
				return err == nil
			}, 10*time.Second, 20*time.Millisecond, name)
		}
	})
}

// TestWords are attacks by what a connector says.
func TestWords(t *testing.T) {
	modes(t, func(t *testing.T, l *Launcher, _ bool) {
		var log bytes.Buffer
		logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		p := pool(t, l, entry(t), logger)
		faults := map[string]string{"big": sdk.FaultRuntime, "big-request": sdk.FaultValidation, "fault": sdk.FaultRuntime}
		for name, kind := range faults {
			_, err := attack(t.Context(), p, map[string]any{"attack": name}, nil)
			var f *sdk.Fault
			require.ErrorAs(t, err, &f, name)
			assert.Equal(t, kind, f.Type, name)
			assert.LessOrEqual(t, len(f.Detail), maxDetail)
			assert.NotContains(t, f.Title+f.Detail, "\x1b")
			assert.NotContains(t, f.Title, "\u202e")
			assert.Zero(t, f.Status)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := attack(ctx, p, map[string]any{"attack": "write-log"}, nil)
		assert.Equal(t, schema.CodeTimeout, schema.CodeOf(err), "a flood waits for its pipe")
		p.Close()
		text := log.String()
		assert.NotContains(t, text, `\u001b`)
		assert.NotContains(t, text, `"level":"ERROR"`)
		assert.Less(t, len(text), 1<<20)
	})
}

// TestRuns have a run misbehave: it ends, and what it held with it.
func TestRuns(t *testing.T) {
	modes(t, func(t *testing.T, l *Launcher, _ bool) {
		p := pool(t, l, entry(t), nil)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := attack(ctx, p, map[string]any{"attack": "never"}, nil)
		assert.Equal(t, schema.CodeTimeout, schema.CodeOf(err))
		assert.Less(t, time.Since(began), endPatience+20*time.Second)

		ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		for _, mode := range []string{"giant", "asker"} {
			q := pool(t, l, entry(t, mode), nil)
			_, err = attack(ctx, q, map[string]any{"attack": "any"}, func(ctx context.Context, _ *sdk.Request) (*sdk.Response, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
			assert.Equal(t, schema.CodeUnavailable, schema.CodeOf(err), mode)
		}
	})
}

// TestHandshakes are connectors that do not begin as they should.
func TestHandshakes(t *testing.T) {
	aside, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = aside.Close() }()
	dialled := make(chan struct{}, 1)
	go func() {
		if c, err := aside.Accept(); err == nil {
			_ = c.Close()
			dialled <- struct{}{}
		}
	}()
	_, port, err := net.SplitHostPort(aside.Addr().String())
	require.NoError(t, err)
	l := launch(t, true)
	for name, args := range map[string][]string{
		"garbage": {"garbage"}, "flood": {"flood"}, "tcp": {"tcp", port}, "elsewhere": {"elsewhere", "/run/other.sock"},
		"climbs": {"elsewhere", "../other.sock"}, "missing": {"elsewhere", "./none"}, "future": {"future"},
	} {
		t.Run(name, func(t *testing.T) {
			p := pool(t, l, entry(t, args...), nil)
			_, err := attack(t.Context(), p, map[string]any{"attack": "stdout"}, nil)
			assert.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
			left, err := os.ReadDir(p.cfg.RunDir)
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
	select {
	case <-dialled:
		t.Error("the host went where the connector sent it")
	default:
	}
	p := pool(t, l, entry(t, "other"), nil)
	_, err = attack(t.Context(), p, map[string]any{"attack": "stdout"}, nil)
	assert.Equal(t, schema.CodeRefused, schema.CodeOf(err), "another manifest than the catalog's")

	p = pool(t, l, entry(t, "silent"), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = attack(ctx, p, map[string]any{"attack": "stdout"}, nil)
	assert.Equal(t, schema.CodeTimeout, schema.CodeOf(err))
	l.Close() // else its pool waits for the end of the start
}

// TestTwoCells: what a connector keeps for itself is one cell's, and gone with
// the process (Invariant 2).
func TestTwoCells(t *testing.T) {
	modes(t, func(t *testing.T, l *Launcher, full bool) {
		keep := func(p *Pool, what string) string {
			out, err := attack(t.Context(), p, map[string]any{"attack": "keep", "keep": what}, nil)
			require.NoError(t, err)
			var before string
			require.NoError(t, json.Unmarshal(out, &before))
			return before
		}
		first := pool(t, l, entry(t), nil)
		assert.Empty(t, keep(first, "of the first cell"))
		assert.Equal(t, "of the first cell", keep(first, "again"))
		second := pool(t, launch(t, full), entry(t), nil)
		assert.Empty(t, keep(second, "of the second cell"))
		first.Close()
		left, err := os.ReadDir(first.cfg.RunDir)
		require.NoError(t, err)
		assert.Empty(t, left)
	})
}
