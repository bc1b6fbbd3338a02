package supervisor

import (
	"errors"
	"net"
	"os"

	"github.com/tenonhq/tenon/schema"
)

// bell is a Unix datagram socket: whoever wrote something into a door sends
// the organization's id. A lost datagram costs a second: the cell sweeps.
type bell struct{ conn *net.UnixConn }

func listenBell(path string) (bell, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return bell{}, schema.Errorf(schema.CodeUnavailable, "the bell's old socket could not be removed: %w", err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return bell{}, schema.Errorf(schema.CodeUnavailable, "the bell could not be hung: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = conn.Close()
		return bell{}, schema.Errorf(schema.CodeUnavailable, "the bell could not be hung: %w", err)
	}
	return bell{conn}, nil
}

// serve passes each well-formed id on until the bell is closed.
func (b bell) serve(rung chan<- string) {
	buf := make([]byte, 128)
	for {
		n, err := b.conn.Read(buf)
		if err != nil {
			return
		}
		id := string(buf[:n])
		if schema.CheckID(schema.PrefixOrganization, id) != nil {
			continue
		}
		select {
		case rung <- id:
		default: // The host is busy; the cells sweep.
		}
	}
}

func (b bell) close() { _ = b.conn.Close() }
