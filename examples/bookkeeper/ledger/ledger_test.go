package ledger_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

type caller struct {
	t      *testing.T
	server *ledger.Server
	client *http.Client
}

func start(t *testing.T, config ledger.Config) *caller {
	t.Helper()
	if config.Directory == "" {
		config.Directory = t.TempDir()
	}
	server, err := ledger.Start(config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM([]byte(server.CA())))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &caller{t: t, server: server, client: &http.Client{Transport: transport}}
}

func (c *caller) do(method, path, key, body string) (int, map[string]any, error) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.server.URL()+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.server.Token())
	if key != "" {
		request.Header["Idempotency-Key"] = []string{key}
		request.GetBody = nil // no silent second sending: each call counts
	}
	response, err := c.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil || len(content) == 0 {
		return response.StatusCode, nil, err
	}
	var value map[string]any
	err = json.Unmarshal(content, &value)
	return response.StatusCode, value, err
}

func (c *caller) call(method, path, key, body string) (int, map[string]any) {
	c.t.Helper()
	status, value, err := c.do(method, path, key, body)
	require.NoError(c.t, err)
	return status, value
}

func bill(order string) string {
	return `{"order":"` + order + `","supplier":"sup-100","currency":"EUR","lines":[
		{"sku":"A","description":"Oak","quantity":3,"unit_price_cents":1250}]}`
}

func TestKeyMakesOneBill(t *testing.T) {
	t.Parallel()
	c := start(t, ledger.Config{})
	status, first := c.call("POST", "/bills", "k1", bill("o-1"))
	assert.Equal(t, 201, status)
	assert.InDelta(t, 3750, first["total_cents"], 0)
	status, again := c.call("POST", "/bills", "k1", bill("o-1"))
	assert.Equal(t, 200, status)
	assert.Equal(t, first["number"], again["number"])
	status, _ = c.call("POST", "/bills", "k1", bill("o-2"))
	assert.Equal(t, 422, status)
	status, _ = c.call("POST", "/bills", "", bill("o-3"))
	assert.Equal(t, 400, status)
	status, got := c.call("GET", "/bills/"+first["number"].(string), "", "")
	assert.Equal(t, 200, status)
	assert.Equal(t, first, got)
	stats := c.server.Stats()
	assert.Equal(t, 1, stats.Bills)
	assert.Equal(t, 1, stats.Keys)
	assert.Zero(t, stats.Duplicates)
}

func TestConcurrentSameKeyWaits(t *testing.T) {
	t.Parallel()
	c := start(t, ledger.Config{})
	require.NoError(t, c.server.Control(ledger.Control{Count: 1, StallMS: 50, When: ledger.Before}))
	var group sync.WaitGroup
	numbers := make([]any, 8)
	for i := range numbers {
		group.Go(func() {
			_, value, err := c.do("POST", "/bills", "same", bill("o-1"))
			if assert.NoError(t, err) {
				numbers[i] = value["number"]
			}
		})
	}
	group.Wait()
	for _, number := range numbers {
		assert.Equal(t, "B-000001", number)
	}
	assert.Equal(t, 1, c.server.Stats().Bills)
}

func TestModesWithoutKeysMakeDuplicates(t *testing.T) {
	t.Parallel()
	for mode, found := range map[ledger.Mode]int{ledger.Lookup: 200, ledger.None: 400} {
		c := start(t, ledger.Config{Idempotency: mode})
		for range 2 {
			status, _ := c.call("POST", "/bills", "", bill("o-1"))
			assert.Equal(t, 201, status)
		}
		status, _ := c.call("GET", "/bills?order=o-1", "", "")
		assert.Equal(t, found, status)
		assert.Equal(t, 1, c.server.Stats().Duplicates)
	}
}

func TestOrderedFaults(t *testing.T) {
	t.Parallel()
	c := start(t, ledger.Config{})
	status, _ := c.call("POST", "/control", "", `{"count":1,"fail":503}`)
	require.Equal(t, 200, status)
	status, _ = c.call("POST", "/bills", "k1", bill("o-1"))
	assert.Equal(t, 503, status)
	assert.Zero(t, c.server.Stats().Bills)

	require.NoError(t, c.server.Control(ledger.Control{Count: 1, Drop: true, When: ledger.After}))
	_, _, err := c.do("POST", "/bills", "k1", bill("o-1"))
	require.Error(t, err, "the connection is dropped after recording")
	assert.Equal(t, 1, c.server.Stats().Bills)
	status, _ = c.call("POST", "/bills", "k1", bill("o-1"))
	assert.Equal(t, 200, status)

	status, _ = c.call("POST", "/control", "", `{"count":1,"fail":99}`)
	assert.Equal(t, 400, status)
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	c := start(t, ledger.Config{})
	for body, pointer := range map[string]any{
		`{}`:                                "/order",
		`{"order":"1","supplier":"nobody"}`: "/supplier",
		`{"order":"1","supplier":"sup-100","currency":"EUR","lines":[]}`:               "/lines",
		`{"order":"1","supplier":"sup-100","currency":"EUR","lines":[{"quantity":0}]}`: "/lines/0/quantity",
		`{"unknown":1}`: nil,
		`[]`:            nil,
	} {
		status, value := c.call("POST", "/bills", "k", body)
		assert.Equal(t, 422, status, body)
		assert.Equal(t, pointer, value["pointer"], body)
	}
	request, err := http.NewRequestWithContext(t.Context(), "GET", c.server.URL()+"/stats", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer wrong")
	response, err := c.client.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, 401, response.StatusCode)
	_, value := c.call("GET", "/suppliers?name=kiefer%20glues", "", "")
	assert.Len(t, value["suppliers"], 1)
}

func TestRestartKeepsBillsCertificateAndToken(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	c := start(t, ledger.Config{Directory: directory})
	ca, token := c.server.CA(), c.server.Token()
	_, first := c.call("POST", "/bills", "k1", bill("o-1"))
	require.NoError(t, c.server.Close())
	info, err := os.Stat(filepath.Join(directory, "token"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	// A creation that was killed in the middle of its line was never acknowledged.
	file, err := os.OpenFile(filepath.Join(directory, "bills.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = file.WriteString(`{"key":"k2","bill":{"num`)
	require.NoError(t, err)
	require.NoError(t, file.Close())

	c = start(t, ledger.Config{Directory: directory})
	assert.Equal(t, ca, c.server.CA())
	assert.Equal(t, token, c.server.Token())
	address, err := os.ReadFile(filepath.Join(directory, "address"))
	require.NoError(t, err)
	assert.Equal(t, c.server.Address(), string(address))
	status, again := c.call("POST", "/bills", "k1", bill("o-1"))
	assert.Equal(t, 200, status)
	assert.Equal(t, first["number"], again["number"])
	status, second := c.call("POST", "/bills", "k2", bill("o-2"))
	assert.Equal(t, 201, status)
	assert.Equal(t, "B-000002", second["number"])
}

func TestRefusesBadConfig(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for _, config := range []ledger.Config{
		{},
		{Directory: t.TempDir(), Listen: "0.0.0.0:0"},
		{Directory: t.TempDir(), Idempotency: "maybe"},
		{Directory: t.TempDir(), TokenFile: empty},
	} {
		_, err := ledger.Start(config)
		require.Error(t, err)
	}
}

func FuzzCreate(f *testing.F) {
	f.Add([]byte(bill("o-1")))
	f.Add([]byte(`{"order":null,"lines":[{}]}`))
	server, err := ledger.Start(ledger.Config{Directory: f.TempDir(), Idempotency: ledger.None})
	require.NoError(f, err)
	f.Cleanup(func() { _ = server.Close() })
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(server.CA()))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	f.Cleanup(client.CloseIdleConnections)
	f.Fuzz(func(t *testing.T, body []byte) {
		request, err := http.NewRequestWithContext(t.Context(), "POST", server.URL()+"/bills", bytes.NewReader(body))
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+server.Token())
		response, err := client.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Contains(t, []int{201, 413, 422}, response.StatusCode)
	})
}
