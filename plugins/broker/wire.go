package broker

import (
	"errors"
	"net"
	"sync"
)

var errSealed = errors.New("the connection takes nothing more")

// wire counts what is written to a network connection, beneath TLS, and can
// be sealed: after that nothing more is written and the count is final. With
// one request at a time on a connection, an unchanged count proves that no
// byte of the request left.
type wire struct {
	net.Conn

	mu      sync.Mutex
	written int64
	sealed  bool
}

// Write counts before it writes: what is under way counts as written.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	if w.sealed {
		w.mu.Unlock()
		return 0, errSealed
	}
	w.written += int64(len(p))
	w.mu.Unlock()
	return w.Conn.Write(p)
}

func (w *wire) count() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written
}

func (w *wire) seal() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sealed = true
	return w.written
}
