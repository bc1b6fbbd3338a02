package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asProcess makes the test binary run as the bookkeeper itself.
const asProcess = "BOOKKEEPER_TEST_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(asProcess) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func spawn(t *testing.T, directory string) (process *exec.Cmd, address string) {
	t.Helper()
	process = exec.CommandContext(t.Context(), os.Args[0], "-dir", directory)
	process.Env = append(os.Environ(), asProcess+"=1")
	output, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	t.Cleanup(func() { _ = process.Process.Kill(); _ = process.Wait() })
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	assert.Contains(t, line, "https://127.0.0.1:")
	content, err := os.ReadFile(filepath.Join(directory, "address"))
	require.NoError(t, err)
	return process, string(content)
}

func TestKilledBookkeeperLosesNoBill(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	process, address := spawn(t, directory)
	ca, err := os.ReadFile(filepath.Join(directory, "ca.pem"))
	require.NoError(t, err)
	token, err := os.ReadFile(filepath.Join(directory, "token"))
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(ca))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	t.Cleanup(client.CloseIdleConnections)
	post := func(address string) (status int, body string) {
		request, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+address+"/bills", strings.NewReader(
			`{"order":"o-1","supplier":"sup-200","currency":"GBP","lines":[{"quantity":1,"unit_price_cents":5}]}`))
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+string(token))
		request.Header.Set("Idempotency-Key", "k")
		response, err := client.Do(request)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		content, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(content)
	}
	status, first := post(address)
	require.Equal(t, 201, status)
	require.NoError(t, process.Process.Signal(syscall.SIGKILL))
	var exit *exec.ExitError
	require.ErrorAs(t, process.Wait(), &exit)

	process, address = spawn(t, directory)
	status, again := post(address)
	assert.Equal(t, 200, status)
	assert.Equal(t, first, again)
	require.NoError(t, process.Process.Signal(syscall.SIGTERM))
	require.NoError(t, process.Wait())
}
