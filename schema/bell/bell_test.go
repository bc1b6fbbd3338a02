package bell_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/bell"
)

// redisServer starts a private Redis on a Unix socket.
func redisServer(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	require.NoError(t, err, "this test needs redis-server (Debian: apt-get install redis-server)")
	socket := filepath.Join(t.TempDir(), "redis.sock")
	cmd := exec.Command(path, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", filepath.Dir(socket))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return "unix://" + socket
}

func TestTheBellIsHeard(t *testing.T) {
	for name, hang := range map[string]func(*testing.T) (bell.Ringer, bell.Listener){
		"Unix": func(t *testing.T) (bell.Ringer, bell.Listener) {
			t.Helper()
			path := filepath.Join(t.TempDir(), "bell.sock")
			l, err := bell.OnUnix(path)
			require.NoError(t, err)
			r, err := bell.ToUnix(path)
			require.NoError(t, err)
			return r, l
		},
		"Redis": func(t *testing.T) (bell.Ringer, bell.Listener) {
			t.Helper()
			url := redisServer(t)
			l, err := bell.OnRedis(url)
			require.NoError(t, err)
			r, err := bell.ToRedis(url)
			require.NoError(t, err)
			return r, l
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, l := hang(t)
			ctx, cancel := context.WithCancel(t.Context())
			rung, ended := make(chan string, 64), make(chan struct{})
			go func() {
				defer close(ended)
				l.Listen(ctx, rung)
			}()
			org := schema.NewID(schema.PrefixOrganization)
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			patience := time.After(20 * time.Second)
			for heard := false; !heard; {
				r.Ring("not an organization")
				r.Ring(org)
				select {
				case got := <-rung:
					require.Equal(t, org, got, "only an organization's id is passed on")
					heard = true
				case <-tick.C:
				case <-patience:
					t.Fatal("the bell was not heard")
				}
			}
			cancel()
			<-ended
			require.NoError(t, r.Close())
			require.NoError(t, l.Close())
		})
	}
}

// TestNobodyListens shows that ringing neither blocks nor fails.
func TestNobodyListens(t *testing.T) {
	r, err := bell.ToUnix(filepath.Join(t.TempDir(), "none.sock"))
	require.NoError(t, err)
	away, err := bell.ToRedis("redis://127.0.0.1:1/0")
	require.NoError(t, err)
	for range 5000 {
		r.Ring(schema.NewID(schema.PrefixOrganization))
		away.Ring(schema.NewID(schema.PrefixOrganization))
	}
	require.NoError(t, r.Close())
	require.NoError(t, away.Close())
}

func TestCheckRedisURL(t *testing.T) {
	for url, fine := range map[string]bool{
		"redis://127.0.0.1:6379/0":                              true,
		"redis://localhost:6379":                                true,
		"redis://[::1]:6379":                                    true,
		"unix:///run/redis.sock":                                true,
		"rediss://user:canary@redis.example.com:6380/0":         true,
		"redis://user:canary@redis.example.com:6379/0":          false,
		"redis://127.0.0.1.example.com:6379":                    false,
		"redis://10.0.0.7:6379":                                 false,
		"rediss://redis.example.com:6380?skip_verify=true":      false,
		"http://canary.example.com":                             false,
		"redis://user:canary@redis.example.com:6379/notanumber": false,
	} {
		err := bell.CheckRedisURL(url)
		if fine {
			require.NoError(t, err, url)
			continue
		}
		require.Error(t, err, url)
		require.NotContains(t, err.Error(), "canary", "the error quotes the address")
	}
}
