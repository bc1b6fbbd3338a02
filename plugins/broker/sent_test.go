package broker_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/plugins/broker"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// fickle is a plain HTTP server that answers each connection's first request
// and hangs up at its second, before it reads it or after.
type fickle struct {
	net.Listener
	heard atomic.Int64 // requests read
}

func (f *fickle) url() string { return "http://" + f.Addr().String() }

func hangUp(t *testing.T, after func(request int64, connection net.Conn)) *fickle {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &fickle{Listener: listener}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = connection.Close() }()
				reader := bufio.NewReader(connection)
				for n := int64(1); ; n++ {
					request, err := http.ReadRequest(reader)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, request.Body)
					f.heard.Add(1)
					if n > 1 {
						return
					}
					_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					if after != nil {
						after(n, connection)
					}
				}
			}()
		}
	}()
	return f
}

func plain(f *fickle) *opener {
	return &opener{
		use:    seal.Use{Hosts: []string{f.Addr().String()}, PlainHTTP: true, Inject: seal.Injection{Scheme: "bearer"}},
		values: map[string]string{"token": token},
	}
}

// TestNothingIsSentTwiceInSilence: a server that hangs up on a kept connection
// hears a request that changes something once, with or without a body,
// although net/http would send it again (invariant 7).
func TestNothingIsSentTwiceInSilence(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "body"} {
		f := hangUp(t, nil)
		b := start(t, broker.Config{})
		announced := 0
		call := broker.Call{
			Connection: "con_1", Opener: plain(f), IdempotencyHeader: "Idempotency-Key", IdempotencyKey: "k",
			OnSend: func() error { announced++; return nil },
		}
		_, sent, err := b.Do(t.Context(), call, post(f.url(), body))
		require.NoError(t, err)
		assert.True(t, sent)
		_, sent, err = b.Do(t.Context(), call, post(f.url(), body))
		require.Error(t, err)
		assert.True(t, sent)
		assert.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
		assert.Equal(t, int64(2), f.heard.Load())
		assert.Equal(t, 2, announced)
	}
}

func TestReadsAreSentAgainOnAFreshConnection(t *testing.T) {
	t.Parallel()
	f := hangUp(t, nil)
	b := start(t, broker.Config{})
	announced := 0
	call := broker.Call{Connection: "con_1", Opener: plain(f), OnSend: func() error { announced++; return nil }}
	for range 2 {
		response, _, err := b.Do(t.Context(), call, get(f.url()))
		require.NoError(t, err)
		assert.Equal(t, "ok", string(response.Body))
	}
	assert.Equal(t, int64(3), f.heard.Load())
	assert.Equal(t, 2, announced, "once a call, not once an attempt")
}

func TestClosedIdleConnectionIsNotUsed(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 8)
	f := hangUp(t, func(_ int64, c net.Conn) { _ = c.Close(); closed <- struct{}{} })
	b := start(t, broker.Config{})
	call := broker.Call{Connection: "con_1", Opener: plain(f), IdempotencyHeader: "K", IdempotencyKey: "k"}
	var failures int
	for range 20 {
		_, sent, err := b.Do(t.Context(), call, post(f.url(), "x"))
		if err != nil {
			assert.True(t, sent, "an unproven failure counts as sent")
			failures++
			continue
		}
		<-closed
	}
	assert.Less(t, failures, 20)
}

func TestFailedAnnouncementSendsNothing(t *testing.T) {
	t.Parallel()
	var heard atomic.Int64
	server := serve(t, func(http.ResponseWriter, *http.Request) { heard.Add(1) })
	b := start(t, broker.Config{})
	cause := errors.New("the intent is not durable")
	_, sent, err := b.Do(t.Context(), broker.Call{Connection: "con_1", Opener: bearer(server), OnSend: func() error { return cause }}, post(server.URL, "x"))
	require.ErrorIs(t, err, cause)
	assert.False(t, sent)
	_, sent, err = b.Do(t.Context(), broker.Call{Connection: "con_1", Opener: bearer(server)}, post(server.URL, "x"))
	require.NoError(t, err)
	assert.True(t, sent)
	assert.Equal(t, int64(1), heard.Load())
	assert.Equal(t, int64(1), server.accepted.Load(), "the connection was not used up")
}

func TestUnreachableIsNotSent(t *testing.T) {
	t.Parallel()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	o := &opener{use: seal.Use{Hosts: []string{address}, Inject: seal.Injection{Scheme: "bearer"}}, values: map[string]string{"token": token}}
	_, sent, err := start(t, broker.Config{}).Do(t.Context(), broker.Call{Opener: o, OnSend: func() error { t.Error("announced"); return nil }}, post("https://"+address, "x"))
	require.Error(t, err)
	assert.False(t, sent)
	assert.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			_, _ = io.WriteString(w, "beginning")
			_ = http.NewResponseController(w).Flush()
		}
		<-release
	})
	t.Cleanup(func() { close(release) })
	for _, path := range []string{"/head", "/body"} { // long enough for a handshake on a busy machine
		_, sent, err := start(t, broker.Config{Timeout: 2 * time.Second}).Do(t.Context(), broker.Call{Opener: bearer(server)}, get(server.URL+path))
		require.Error(t, err)
		assert.True(t, sent)
		assert.Equal(t, schema.CodeTimeout, schema.CodeOf(err), err)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	// A server that never completes the handshake.
	silent := hangUp(t, nil)
	o := plain(silent)
	o.use.PlainHTTP = false
	_, sent, err := start(t, broker.Config{DialTimeout: 100 * time.Millisecond}).Do(t.Context(), broker.Call{Opener: o}, get(strings.Replace(silent.url(), "http:", "https:", 1)))
	require.Error(t, err)
	assert.False(t, sent)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, sent, err = start(t, broker.Config{}).Do(ctx, broker.Call{Opener: bearer(server)}, get(server.URL))
	require.Error(t, err)
	assert.False(t, sent)
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
		_, _ = io.WriteString(w, r.Header.Get("Authorization"))
	})
	b := start(t, broker.Config{MaxIdle: 4})
	var group sync.WaitGroup
	for i := range 32 {
		group.Go(func() {
			text := strings.Repeat(string(rune('a'+i%26)), 1000)
			for range 10 {
				response, _, err := b.Do(t.Context(), broker.Call{Connection: "con_1", Opener: bearer(server)}, post(server.URL, text))
				if assert.NoError(t, err) {
					assert.Equal(t, text+"Bearer [redacted]", string(response.Body))
				}
			}
		})
	}
	group.Wait()
}

func BenchmarkBroker(b *testing.B) { benchmark(b, true) }

// BenchmarkDirect is the same call by a plain http.Client.
func BenchmarkDirect(b *testing.B) { benchmark(b, false) }

func benchmark(b *testing.B, through bool) {
	b.Helper()
	server := serve(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"number":"B-000001","total_cents":3750,"lines":[{"sku":"A","quantity":3}]}`)
	})
	client, o, br := server.Client(), bearer(server), broker.New(broker.Config{})
	defer br.Close()
	body := strings.Repeat(`{"order":"1"}`, 40)
	for b.Loop() {
		if through {
			_, _, err := br.Do(b.Context(), broker.Call{Connection: "con_1", Opener: o, IdempotencyHeader: "K", IdempotencyKey: "k"}, post(server.URL, body))
			require.NoError(b, err)
			continue
		}
		request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, server.URL, strings.NewReader(body))
		require.NoError(b, err)
		response, err := client.Do(request)
		require.NoError(b, err)
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(b, errors.Join(err, response.Body.Close()))
	}
}
