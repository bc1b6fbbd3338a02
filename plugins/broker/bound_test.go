package broker_test

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/plugins/broker"
	"github.com/tenonhq/tenon/schema/seal"
)

// tap is a plain HTTP server that keeps every byte it is sent.
type tap struct {
	address string
	mu      sync.Mutex
	bytes   []byte
}

func (s *tap) holds(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(string(s.bytes), text)
}

func tapOn(f *testing.F) *tap {
	f.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(f.Context(), "tcp", "127.0.0.1:0")
	require.NoError(f, err)
	f.Cleanup(func() { _ = listener.Close() })
	s := &tap{address: listener.Addr().String()}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = connection.Close() }()
				buffer := make([]byte, 1<<14)
				n, _ := connection.Read(buffer)
				s.mu.Lock()
				s.bytes = append(s.bytes, buffer[:n]...)
				s.mu.Unlock()
				_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			}()
		}
	}()
	return s
}

// FuzzBoundHost lets a connector ask for anything that names a bound host and
// another one, while the resolver sends every name to the other. The bytes
// that arrive there, at the socket, never hold the credential.
func FuzzBoundHost(f *testing.F) {
	good, evil := tapOn(f), tapOn(f)
	for _, seed := range []string{
		"http://GOOD/", "http://EVIL/", "http://GOOD@EVIL/", "http://EVIL#@GOOD/", "http://EVIL?@GOOD", "http://GOOD\\@EVIL/", "http://EVIL\\@GOOD",
		"http://GOOD%40EVIL", "http://EVIL%23@GOOD/", "http:////EVIL/", "http://GOOD:80@EVIL", "HTTP://EVIL:/", "http://GOOD.EVIL", "http://GOOD,EVIL/",
		"http://GOOD EVIL/", "http://EVIL;GOOD/", "http://[::ffff:127.0.0.1]:PORT/", "http://127.1:PORT", "http://0x7f.1:PORT", "http://2130706433:PORT",
		"http://localhost:PORT/", "http://GOOD\t@EVIL/", "http://EVIL\x00GOOD", "http://GOOD/..//EVIL", "https://EVIL/", "http://１２７.0.0.1:PORT", "//EVIL",
		"http://GOOD/\r\nHost: EVIL", "http://name.example:PORT", "http://GOOD:PORT/", "http://127.0.0.1:PORT.example/",
	} {
		f.Add(seed, "X-A", "b")
	}
	f.Add("http://GOOD/", "Host", "EVIL")
	f.Add("http://GOOD/", "X-A", "b\r\nHost: EVIL")
	resolver := &answers{rounds: [][]netip.Addr{{netip.MustParseAddr("127.0.0.1")}}}
	b := broker.New(broker.Config{Resolver: resolver, Timeout: 5 * time.Second, DialTimeout: time.Second})
	f.Cleanup(b.Close)
	o := &opener{
		use:    seal.Use{Hosts: []string{good.address}, PlainHTTP: true, Inject: seal.Injection{Scheme: seal.SchemeBearer}},
		values: map[string]string{"token": token},
	}
	_, port, err := net.SplitHostPort(evil.address)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, url, name, value string) {
		replacer := strings.NewReplacer("GOOD", good.address, "EVIL", evil.address, "PORT", port)
		request := get(replacer.Replace(url))
		request.Header = map[string][]string{name: {replacer.Replace(value)}}
		_, sent, err := b.Do(t.Context(), broker.Call{Opener: o}, request)
		require.Falsef(t, evil.holds(token), "%q", request.URL)
		if err == nil {
			require.True(t, sent)
			require.True(t, good.holds(token))
		}
	})
}
