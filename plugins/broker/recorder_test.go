package broker_test

import (
	"bufio"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// recorder takes what anyone sends to it and answers nothing.
type recorder struct {
	net.Listener
	connections atomic.Int64
	closed      chan struct{}
	bytes       atomic.Pointer[[]byte]
}

func (r *recorder) port() string {
	_, port, _ := net.SplitHostPort(r.Addr().String())
	return port
}

func (r *recorder) taken() []byte {
	if p := r.bytes.Load(); p != nil {
		return *p
	}
	return nil
}

func record(t *testing.T) *recorder {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &recorder{Listener: listener, closed: make(chan struct{}, 16)}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			r.connections.Add(1)
			go func() {
				content := make([]byte, 1<<16)
				n, _ := bufio.NewReader(connection).Read(content)
				_, _ = connection.Write([]byte("this is not TLS"))
				rest, _ := io.ReadAll(connection)
				all := append(content[:n], rest...)
				r.bytes.Store(&all)
				_ = connection.Close()
				r.closed <- struct{}{}
			}()
		}
	}()
	return r
}
