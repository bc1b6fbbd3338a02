package broker_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/plugins/broker"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

const token = "canary-7f3a9c-token+with/odd=chars"

// opener hands out a fresh copy each time: the broker wipes what it was given.
type opener struct {
	use    seal.Use
	values map[string]string
	opened atomic.Int64
}

func (o *opener) Open(context.Context) (*broker.Credential, error) {
	o.opened.Add(1)
	values := map[string]schema.Secret{}
	for name, value := range o.values {
		values[name] = schema.NewSecret([]byte(value))
	}
	return &broker.Credential{Use: o.use, Values: values}, nil
}

type target struct {
	*httptest.Server
	accepted atomic.Int64
}

func (s *target) host() string {
	return strings.TrimPrefix(strings.TrimPrefix(s.URL, "https://"), "http://")
}

func (s *target) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

func serve(tb testing.TB, handler http.HandlerFunc) *target {
	tb.Helper()
	s := &target{Server: httptest.NewUnstartedServer(handler)}
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.accepted.Add(1)
		}
	}
	s.EnableHTTP2 = true
	s.StartTLS()
	tb.Cleanup(s.Close)
	return s
}

func bearer(s *target) *opener {
	return &opener{
		use:    seal.Use{Hosts: []string{s.host()}, CA: s.ca(), Inject: seal.Injection{Scheme: seal.SchemeBearer}},
		values: map[string]string{"token": token},
	}
}

func start(t *testing.T, config broker.Config) *broker.Broker {
	t.Helper()
	b := broker.New(config)
	t.Cleanup(b.Close)
	return b
}

func get(url string) *sdk.Request { return &sdk.Request{Method: "GET", URL: url} }

func post(url, body string) *sdk.Request {
	return &sdk.Request{Method: "POST", URL: url, Body: []byte(body)}
}

func TestInjection(t *testing.T) {
	t.Parallel()
	var seen *http.Request
	var body string
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		seen, body = r, string(content)
	})
	b := start(t, broker.Config{})
	for _, test := range []struct {
		inject seal.Injection
		values map[string]string
		check  func()
	}{
		{seal.Injection{Scheme: "bearer"}, map[string]string{"token": token}, func() {
			assert.Equal(t, "Bearer "+token, seen.Header.Get("Authorization"))
		}},
		{seal.Injection{Scheme: "header", Name: "X-Api-Key", Prefix: "Key "}, map[string]string{"value": token}, func() {
			assert.Equal(t, "Key "+token, seen.Header.Get("X-Api-Key"))
		}},
		{seal.Injection{Scheme: "query", Name: "api key"}, map[string]string{"value": token}, func() {
			assert.Equal(t, token, seen.URL.Query().Get("api key"))
			assert.Equal(t, "1", seen.URL.Query().Get("a"))
		}},
		{seal.Injection{Scheme: "basic"}, map[string]string{"username": "shop", "password": token}, func() {
			user, password, _ := seen.BasicAuth()
			assert.Equal(t, []string{"shop", token}, []string{user, password})
		}},
	} {
		o := &opener{use: seal.Use{Hosts: []string{server.host()}, CA: server.ca(), Inject: test.inject}, values: test.values}
		announced := 0
		response, sent, err := b.Do(t.Context(), broker.Call{
			Connection: "con_1", Opener: o, IdempotencyHeader: "X-Once", IdempotencyKey: "eff_1", OnSend: func() error { announced++; return nil },
		}, post(server.URL+"/v1?a=1#f", "hello"))
		require.NoError(t, err)
		assert.True(t, sent)
		assert.Equal(t, 200, response.Status)
		assert.Equal(t, "hello", body)
		assert.Equal(t, "eff_1", seen.Header.Get("X-Once"))
		assert.Equal(t, "HTTP/1.1", seen.Proto)
		assert.Equal(t, 1, announced)
		test.check()
	}
}

// TestEcho has the target give everything back: in headers, chunks, trailers,
// a status line, compressed. The connector sees none of it (invariant 4).
func TestEcho(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var dump bytes.Buffer
		_ = r.Header.Write(&dump)
		echo := dump.Bytes()
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		w.Header().Set("Trailer", "X-Trailer")
		w.Header().Set("Set-Cookie", "session="+r.Header.Get("Authorization"))
		defer w.Header().Set("X-Trailer", r.Header.Get("Authorization"))
		switch r.URL.Path {
		case "/chunks":
			for i := range echo {
				_, _ = w.Write(echo[i : i+1])
				_ = http.NewResponseController(w).Flush()
			}
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(echo)
			_ = z.Close()
		case "/deflate":
			w.Header().Set("Content-Encoding", "deflate, identity")
			z := zlib.NewWriter(w)
			_, _ = z.Write(echo)
			_ = z.Close()
		case "/twice":
			w.Header().Set("Content-Encoding", "deflate")
			w.Header().Add("Content-Encoding", "gzip")
			g := gzip.NewWriter(w)
			z := zlib.NewWriter(g)
			_, _ = z.Write(echo)
			_ = z.Close()
			_ = g.Close()
		case "/br":
			w.Header().Set("Content-Encoding", "br")
			_, _ = w.Write(echo)
		case "/lie":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(echo)
		case "/status":
			connection, buffered, _ := http.NewResponseController(w).Hijack()
			_, _ = buffered.WriteString("HTTP/1.1 2x" + r.Header.Get("Authorization") + "\r\n\r\n")
			_ = buffered.Flush()
			_ = connection.Close()
		case "/badheader":
			connection, buffered, _ := http.NewResponseController(w).Hijack()
			_, _ = buffered.WriteString("HTTP/1.1 200 OK\r\n" + r.Header.Get("Authorization") + "\r\n\r\n")
			_ = buffered.Flush()
			_ = connection.Close()
		case "/redirect":
			http.Redirect(w, r, "https://elsewhere.example/?t="+r.Header.Get("Authorization"), http.StatusFound)
		case "/upgrade":
			connection, buffered, _ := http.NewResponseController(w).Hijack()
			_, _ = buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + string(echo))
			_ = buffered.Flush()
			_ = connection.Close()
		}
	})
	b := start(t, broker.Config{})
	for path, fails := range map[string]bool{
		"/chunks": false, "/gzip": false, "/deflate": false, "/twice": false, "/redirect": false,
		"/br": true, "/lie": true, "/status": true, "/badheader": true, "/upgrade": true,
	} {
		response, sent, err := b.Do(t.Context(), broker.Call{Connection: "con_1", Opener: bearer(server)}, get(server.URL+path))
		assert.True(t, sent)
		if fails {
			require.Error(t, err, path)
			assert.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
			for cause := err; cause != nil; cause = errors.Unwrap(cause) {
				assert.NotContains(t, cause.Error(), token, path)
			}
			continue
		}
		require.NoError(t, err, path)
		assert.NotContains(t, string(response.Body), token, path)
		if path != "/redirect" {
			assert.Contains(t, string(response.Body), "Bearer [redacted]", path)
		} else {
			assert.Equal(t, 302, response.Status)
		}
		assert.Equal(t, []string{"Bearer [redacted]"}, response.Header["X-Echo"])
		for name, values := range response.Header {
			assert.NotContains(t, strings.Join(values, ""), token, name)
		}
		assert.NotContains(t, response.Header, "X-Trailer")
		assert.NotContains(t, response.Header, "Content-Encoding")
	}
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	server := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("nothing may arrive") })
	b := start(t, broker.Config{MaxBody: 10, MaxHeader: 1000})
	with := func(name, value string) *sdk.Request {
		return &sdk.Request{Method: "GET", URL: server.URL, Header: map[string][]string{name: {value}}}
	}
	for name, request := range map[string]*sdk.Request{
		"nil": nil, "relative": get("/x"), "trace": {Method: "TRACE", URL: server.URL}, "connect": {Method: "connect", URL: server.URL},
		"method": {Method: "GET /x HTTP/1.1\r\nX: y", URL: server.URL}, "host": with("Host", "evil"), "authorization": with("authorization", "x"),
		"parameters": with("Proxy_Authorization", "x"), "length": with("Content-Length", "1"), "transfer": with("transfer_encoding", "chunked"),
		"connection": with("Connection", "X-Api-Key"), "newline": with("X-A", "b\r\nc: d"), "name": with("X A", "b"), "pseudo": with(":authority", "evil"),
		"range": with("Range", "bytes=0-3"), "override": with("X-HTTP-Method-Override", "DELETE"), "expect": with("Expect", "100-continue"),
		"large": post(server.URL, "12345678901"), "large header": with("X-A", strings.Repeat("a", 1000)), "plain": get("http://" + server.host()),
		"other port": get("https://127.0.0.1:1"), "other host": get("https://localhost:" + strings.Split(server.host(), ":")[1]),
		"userinfo": get("https://" + server.host() + "@evil.example"),
	} {
		_, sent, err := b.Do(t.Context(), broker.Call{Connection: "con_1", Opener: bearer(server), OnSend: func() error {
			t.Error("nothing may be announced")
			return nil
		}}, request)
		require.Error(t, err, name)
		assert.False(t, sent, name)
		assert.Contains(t, []schema.Code{schema.CodeRefused, schema.CodeInvalid, schema.CodeTooLarge}, schema.CodeOf(err), name)
		assert.NotContains(t, err.Error(), token)
	}
	assert.Zero(t, server.accepted.Load())
}

func TestRefusedCredentials(t *testing.T) {
	t.Parallel()
	server := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("nothing may arrive") })
	b := start(t, broker.Config{})
	for name, o := range map[string]*opener{
		"short":     {use: seal.Use{Inject: seal.Injection{Scheme: "bearer"}}, values: map[string]string{"token": "abc"}},
		"missing":   {use: seal.Use{Inject: seal.Injection{Scheme: "bearer"}}, values: map[string]string{"value": token}},
		"line":      {use: seal.Use{Inject: seal.Injection{Scheme: "bearer"}}, values: map[string]string{"token": token + "\nX: y"}},
		"colon":     {use: seal.Use{Inject: seal.Injection{Scheme: "basic"}}, values: map[string]string{"username": "a:b", "password": token}},
		"scheme":    {use: seal.Use{Inject: seal.Injection{Scheme: "oauth"}}, values: map[string]string{"token": token}},
		"host":      {use: seal.Use{Inject: seal.Injection{Scheme: "header", Name: "Host"}}, values: map[string]string{"value": token}},
		"parameter": {use: seal.Use{Inject: seal.Injection{Scheme: "query", Name: "A"}}, values: map[string]string{"value": token}},
		"ca":        {use: seal.Use{CA: "none", Inject: seal.Injection{Scheme: "bearer"}}, values: map[string]string{"token": token}},
	} {
		o.use.Hosts = []string{server.host()}
		_, sent, err := b.Do(t.Context(), broker.Call{Opener: o}, get(server.URL+"?%61=1"))
		require.Error(t, err, name)
		assert.False(t, sent, name)
		assert.Equal(t, schema.CodeRefused, schema.CodeOf(err), name)
		assert.NotContains(t, err.Error(), token)
	}
}

// answers is a resolver whose answers change with each question: rebinding.
type answers struct {
	rounds [][]netip.Addr
	asked  atomic.Int64
}

func (a *answers) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	n := int(a.asked.Add(1)) - 1
	return a.rounds[min(n, len(a.rounds)-1)], nil
}

func TestPrivateAddressesAreNotDialled(t *testing.T) {
	t.Parallel()
	recorder := record(t)
	port := recorder.port()
	for _, address := range []string{"127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "10.0.0.1", "169.254.169.254", "0.0.0.0", "::1", "100.64.0.1"} {
		b := start(t, broker.Config{Resolver: &answers{rounds: [][]netip.Addr{{netip.MustParseAddr(address)}}}})
		_, sent, err := b.Do(t.Context(), broker.Call{}, get("https://public.example:"+port))
		require.Error(t, err, address)
		assert.False(t, sent)
		assert.Equal(t, schema.CodeRefused, schema.CodeOf(err), address)
	}
	for _, host := range []string{"127.0.0.1", "[::1]", "[::ffff:7f00:1]"} {
		b := start(t, broker.Config{})
		_, _, err := b.Do(t.Context(), broker.Call{}, get("https://"+host+":"+port))
		assert.Equal(t, schema.CodeRefused, schema.CodeOf(err), host)
	}
	// A listed name in plain HTTP does not reach this machine or the metadata service.
	for _, address := range []string{"127.0.0.1", "169.254.169.254"} {
		b := start(t, broker.Config{Resolver: &answers{rounds: [][]netip.Addr{{netip.MustParseAddr(address)}}}})
		o := &opener{
			use:    seal.Use{Hosts: []string{"erp.example:" + port}, PlainHTTP: true, Inject: seal.Injection{Scheme: "bearer"}},
			values: map[string]string{"token": token},
		}
		_, sent, err := b.Do(t.Context(), broker.Call{Opener: o}, get("http://erp.example:"+port))
		assert.False(t, sent)
		assert.Equal(t, schema.CodeRefused, schema.CodeOf(err), address)
	}
	assert.Zero(t, recorder.connections.Load())
}

// TestRebinding: the address that was checked is the one dialled, and a bound
// name that leads elsewhere gets a TLS hello, never a credential.
func TestRebinding(t *testing.T) {
	t.Parallel()
	recorder := record(t)
	resolver := &answers{rounds: [][]netip.Addr{{netip.MustParseAddr("127.0.0.1")}, {netip.MustParseAddr("169.254.169.254")}}}
	b := start(t, broker.Config{Resolver: resolver, DialTimeout: 2 * time.Second})
	o := &opener{
		use:    seal.Use{Hosts: []string{"erp.example:" + recorder.port()}, Inject: seal.Injection{Scheme: "bearer"}},
		values: map[string]string{"token": token},
	}
	_, sent, err := b.Do(t.Context(), broker.Call{Opener: o, OnSend: func() error { t.Error("announced"); return nil }}, get("https://erp.example:"+recorder.port()))
	require.Error(t, err)
	assert.False(t, sent)
	assert.Equal(t, int64(1), resolver.asked.Load())
	<-recorder.closed
	assert.NotEmpty(t, recorder.taken())
	assert.NotContains(t, string(recorder.taken()), token)
}

func TestPrivateAuthorityIsForItsConnectionOnly(t *testing.T) {
	t.Parallel()
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	b := start(t, broker.Config{})
	_, _, err := b.Do(t.Context(), broker.Call{Connection: "con_1", Opener: bearer(server)}, get(server.URL))
	require.NoError(t, err)
	other := bearer(server)
	other.use.CA = ""
	_, sent, err := b.Do(t.Context(), broker.Call{Connection: "con_2", Opener: other}, get(server.URL))
	require.Error(t, err)
	assert.False(t, sent)
	assert.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
	var unverified *tls.CertificateVerificationError
	require.ErrorAs(t, err, &unverified)
}

func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	server.StartTLS()
	t.Cleanup(server.Close)
	s := &target{Server: server}
	_, sent, err := start(t, broker.Config{}).Do(t.Context(), broker.Call{Opener: bearer(s)}, get(server.URL))
	require.Error(t, err)
	assert.False(t, sent)
}

func TestConnectionsAreReusedByTheirOwnConnectionOnly(t *testing.T) {
	t.Parallel()
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	b := start(t, broker.Config{})
	call := func(connection string, version int) {
		t.Helper()
		_, _, err := b.Do(t.Context(), broker.Call{Connection: connection, Version: version, Opener: bearer(server)}, get(server.URL))
		require.NoError(t, err)
	}
	call("con_1", 1)
	call("con_1", 1)
	assert.Equal(t, int64(1), server.accepted.Load())
	call("con_2", 1)
	assert.Equal(t, int64(2), server.accepted.Load())
	call("con_1", 2)
	assert.Equal(t, int64(3), server.accepted.Load())
	call("con_1", 1)
	assert.Equal(t, int64(3), server.accepted.Load())
	call("", 0)
	call("", 0)
	assert.Equal(t, int64(5), server.accepted.Load())
}

func TestReplyLimits(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/long":
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write(make([]byte, 1_000_000))
		case "/chunked":
			for range 100 {
				_, _ = w.Write(make([]byte, 10_000))
				_ = http.NewResponseController(w).Flush()
			}
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for range 10 {
				_, _ = z.Write(make([]byte, 1<<20))
			}
			_ = z.Close()
		case "/header":
			w.Header().Set("X-Long", strings.Repeat("a", 200_000))
		}
	})
	b := start(t, broker.Config{})
	for path, code := range map[string]schema.Code{
		"/long": schema.CodeTooLarge, "/chunked": schema.CodeTooLarge, "/bomb": schema.CodeTooLarge, "/header": schema.CodeUnavailable,
	} {
		_, sent, err := b.Do(t.Context(), broker.Call{Connection: "con_1", Opener: bearer(server), MaxBody: 100_000}, get(server.URL+path))
		require.Error(t, err, path)
		assert.True(t, sent)
		assert.Equal(t, code, schema.CodeOf(err), path)
	}
	response, _, err := b.Do(t.Context(), broker.Call{Opener: bearer(server)}, get(server.URL+"/long"))
	require.NoError(t, err)
	assert.Len(t, response.Body, 1_000_000)
}

func TestEnvironmentProxyIsIgnored(t *testing.T) {
	recorder := record(t)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy"} {
		t.Setenv(name, "http://127.0.0.1:"+recorder.port())
	}
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	_, _, err := start(t, broker.Config{}).Do(t.Context(), broker.Call{Opener: bearer(server)}, get(server.URL))
	require.NoError(t, err)
	assert.Zero(t, recorder.connections.Load())
}

func TestWithoutCredential(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("Authorization")) })
	use := seal.Use{Hosts: []string{server.host()}, CA: server.ca()}
	request := get(server.URL)
	request.Header = map[string][]string{"Authorization": {"their own"}}
	response, _, err := start(t, broker.Config{}).Do(t.Context(), broker.Call{Use: use}, request)
	require.NoError(t, err)
	assert.Equal(t, "their own", string(response.Body))
}
