package bell

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"github.com/tenonhq/tenon/schema"
)

// ringPatience bounds one ring: a full socket must not hold a request up.
const ringPatience = 5 * time.Millisecond

type unixRinger struct {
	conn *net.UnixConn
	to   *net.UnixAddr
}

// ToUnix rings the socket at path. It is not connected, so that a host that
// comes later hears it too.
func ToUnix(path string) (Ringer, error) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"})
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "no socket for the bell: %w", err)
	}
	return unixRinger{conn, &net.UnixAddr{Name: path, Net: "unixgram"}}, nil
}

// Ring implements [Ringer].
func (r unixRinger) Ring(organization string) {
	if r.conn.SetWriteDeadline(time.Now().Add(ringPatience)) == nil {
		_, _ = r.conn.WriteToUnix([]byte(organization), r.to)
	}
}

// Close implements [Ringer].
func (r unixRinger) Close() error { return r.conn.Close() }

type unixListener struct{ conn *net.UnixConn }

// OnUnix hears the socket at path, which it makes with mode 0600 in the place
// of a former one.
func OnUnix(path string) (Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, schema.Errorf(schema.CodeUnavailable, "the bell's old socket could not be removed: %w", err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the bell could not be hung: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = conn.Close()
		return nil, schema.Errorf(schema.CodeUnavailable, "the bell could not be hung: %w", err)
	}
	return unixListener{conn}, nil
}

// Listen implements [Listener].
func (l unixListener) Listen(ctx context.Context, rung chan<- string) {
	stop := context.AfterFunc(ctx, func() { _ = l.conn.SetReadDeadline(time.Now()) })
	defer stop()
	buf := make([]byte, 128)
	for ctx.Err() == nil {
		n, err := l.conn.Read(buf)
		if err != nil {
			return
		}
		hear(rung, string(buf[:n]))
	}
}

// Close implements [Listener].
func (l unixListener) Close() error { return l.conn.Close() }
