package compose

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// redis starts the service of the file with the configuration that it gets.
func (s *stage) redis(t *testing.T) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	require.NoError(t, err, "this test needs redis-server (Debian: apt-get install redis-server)")
	cmd := exec.Command(path, filepath.Join(s.dir, "out", "redis", "redis.conf")) // A signal ends it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// bell: the host hears the bell over TLS, and the bell's user can do nothing else.
func (s *stage) bell(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(s.value("host", "TENON_REDIS_URL_FILE"))
	require.NoError(t, err)
	options, err := redis.ParseURL(string(text))
	require.NoError(t, err)
	trust, ok := s.client.Transport.(*http.Transport)
	require.True(t, ok)
	options.TLSConfig = trust.TLSClientConfig.Clone()
	options.TLSConfig.ServerName = "localhost"
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		heard, err := client.PubSubNumSub(t.Context(), "tenon:bell").Result()
		assert.NoError(c, err)
		assert.EqualValues(c, 1, heard["tenon:bell"])
	}, patience, 100*time.Millisecond)
	require.ErrorContains(t, client.Set(t.Context(), "a", "b", 0).Err(), "NOPERM")
	require.ErrorContains(t, client.Publish(t.Context(), "other", "b").Err(), "NOPERM")
	options.Username, options.Password = "", ""
	stranger := redis.NewClient(options)
	t.Cleanup(func() { _ = stranger.Close() })
	require.NoError(t, stranger.Ping(t.Context()).Err())
	require.ErrorContains(t, stranger.Publish(t.Context(), "tenon:bell", "b").Err(), "NOPERM")
}
