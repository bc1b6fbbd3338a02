package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

// cut says where in an exchange a connection is cut.
type cut int

const (
	// inRequest: with half of the request forwarded.
	inRequest cut = iota
	// afterRequest: with all of the request forwarded, and nothing of an answer.
	afterRequest
	// afterAnswer: with the answer read, and nothing of it forwarded.
	afterAnswer
	// inAnswer: with half of the answer forwarded.
	inAnswer
	cuts
)

func (c cut) String() string {
	return [...]string{"in the request", "after the request", "after the answer", "in the answer"}[c]
}

// cutter is a proxy between a platform and a bookkeeper that cuts connections
// by a reset, as a network does. TLS ends in it, with the bookkeeper's own
// certificate, so that it knows where requests and answers begin and end.
type cutter struct {
	listener net.Listener
	upstream string
	trust    *tls.Config

	mu   sync.Mutex
	next cut
	left int
	done int
}

// front starts a cutter before a bookkeeper.
func front(t *testing.T, books *ledger.Server) *cutter {
	t.Helper()
	directory := filepath.Dir(books.CAFile())
	own, err := tls.LoadX509KeyPair(filepath.Join(directory, "server.pem"), filepath.Join(directory, "server.key"))
	require.NoError(t, err)
	authority := x509.NewCertPool()
	require.True(t, authority.AppendCertsFromPEM([]byte(books.CA())))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	c := &cutter{listener: l, upstream: books.Address(), trust: &tls.Config{RootCAs: authority}}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.serve(conn, &tls.Config{Certificates: []tls.Certificate{own}, NextProtos: []string{"http/1.1"}})
		}
	}()
	return c
}

// newCutShop is newShop with a cutter between.
func newCutShop(t *testing.T, p *platform, mode ledger.Mode, flows map[string]string) (*shop, *cutter) {
	t.Helper()
	books := bookkeeper(t, mode)
	c := front(t, books)
	return p.shop(t, books, mode, c.listener.Addr().String(), flows, (*shop).sealCredential), c
}

// order has the next requests that change something cut.
func (c *cutter) order(where cut, count int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next, c.left = where, count
}

// made is how many connections were cut.
func (c *cutter) made() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

func (c *cutter) take(r *http.Request) (where cut, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Method != http.MethodPost || c.left == 0 {
		return 0, false
	}
	c.left--
	c.done++
	return c.next, true
}

// reset ends a connection without a word of TLS, by a reset of TCP.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// serve passes the requests of one connection on, until one of its ends closes
// or it is cut.
func (c *cutter) serve(raw net.Conn, config *tls.Config) {
	defer reset(raw)
	client := tls.Server(raw, config)
	server, err := tls.Dial("tcp", c.upstream, c.trust)
	if err != nil {
		return
	}
	defer reset(server.NetConn())
	requests, answers := bufio.NewReader(client), bufio.NewReader(server)
	for {
		request, err := http.ReadRequest(requests)
		if err != nil {
			return
		}
		var sent, received bytes.Buffer
		if request.Write(&sent) != nil {
			return
		}
		where, ordered := c.take(request)
		if ordered && where == inRequest {
			_, _ = server.Write(sent.Bytes()[:sent.Len()/2])
			return
		}
		if _, err := server.Write(sent.Bytes()); err != nil {
			return
		}
		if ordered && where == afterRequest {
			// The bookkeeper goes on with it, whoever listens.
			reset(raw)
		}
		answer, err := http.ReadResponse(answers, request)
		if err != nil {
			return
		}
		err = answer.Write(&received)
		_ = answer.Body.Close()
		passed := received.Bytes()
		switch {
		case ordered && where == afterAnswer:
			return
		case ordered && where == inAnswer:
			passed = passed[:len(passed)/2]
		}
		if _, failed := client.Write(passed); err != nil || failed != nil || ordered {
			return
		}
	}
}
