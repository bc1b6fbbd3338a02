package ledger

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Config says where a bookkeeper lives and how it behaves.
type Config struct {
	// Directory keeps certificates, bills and the address file; it is made when absent.
	Directory string
	// Listen is a loopback address; port 0 (the default) takes a free one.
	Listen string
	// TokenFile holds the Bearer token; made at random when absent. Default: token in Directory.
	TokenFile string
	// Idempotency defaults to Keys.
	Idempotency Mode
}

// Server is a running bookkeeper.
type Server struct {
	directory string
	address   string
	token     string
	ca        string
	book      *book
	faults    *faults
	handler   *handler
	http      *http.Server
	served    chan error
	closing   sync.Once
}

// Start serves until Close. When it returns, requests are answered and the
// file address in the directory says where.
func Start(config Config) (*Server, error) {
	if config.Directory == "" {
		return nil, errors.New("a directory is required")
	}
	if config.Idempotency == "" {
		config.Idempotency = Keys
	}
	switch config.Idempotency {
	case Keys, Lookup, None:
	default:
		return nil, fmt.Errorf("idempotency must be %s, %s or %s", Keys, Lookup, None)
	}
	if err := os.MkdirAll(config.Directory, 0o700); err != nil {
		return nil, err
	}
	if config.TokenFile == "" {
		config.TokenFile = filepath.Join(config.Directory, "token")
	}
	token, err := ensureToken(config.TokenFile)
	if err != nil {
		return nil, err
	}
	certificate, err := ensureCertificate(config.Directory, time.Now())
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(config.Directory, caFile))
	if err != nil {
		return nil, err
	}
	// An address left by a killed bookkeeper would send its readers astray.
	addressFile := filepath.Join(config.Directory, "address")
	if err := os.Remove(addressFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := listen(config.Listen)
	if err != nil {
		return nil, err
	}
	bills, err := openBook(filepath.Join(config.Directory, "bills.jsonl"), config.Idempotency)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s := &Server{
		directory: config.Directory, address: listener.Addr().String(), token: token, ca: string(ca),
		book: bills, faults: newFaults(), served: make(chan error, 1),
	}
	s.handler = newHandler(bills, s.faults, token)
	s.http = &http.Server{
		Handler: s.handler.routes(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	tlsListener := tls.NewListener(listener, &tls.Config{
		Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
	})
	go func() { s.served <- s.http.Serve(tlsListener) }()
	if err := writeAtomic(addressFile, []byte(s.address)); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// listen refuses anything but loopback: the example's token guards example data.
func listen(address string) (net.Listener, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, errors.New("the address to listen on must be loopback")
	}
	var config net.ListenConfig
	return config.Listen(context.Background(), "tcp", address)
}

func ensureToken(path string) (string, error) {
	content, err := os.ReadFile(filepath.Clean(path))
	if errors.Is(err, os.ErrNotExist) {
		random := make([]byte, 24)
		if _, err := rand.Read(random); err != nil {
			return "", err
		}
		content = []byte("book_" + hex.EncodeToString(random))
		err = writeAtomic(path, content)
	}
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(content))
	if token == "" {
		return "", errors.New("the token file is empty")
	}
	return token, nil
}

// Address is host:port.
func (s *Server) Address() string { return s.address }

// URL is the base URL, without a slash at its end.
func (s *Server) URL() string { return "https://" + s.address }

// CA is the certificate authority, PEM.
func (s *Server) CA() string { return s.ca }

// CAFile is where CA is kept.
func (s *Server) CAFile() string { return filepath.Join(s.directory, caFile) }

// Token is the Bearer token that every request needs.
func (s *Server) Token() string { return s.token }

// Stats is the ground truth.
func (s *Server) Stats() Stats { return s.handler.stats() }

// Bills lists what is recorded, oldest first.
func (s *Server) Bills() []Bill { return s.book.list("") }

// Control orders faults, as POST /control does.
func (s *Server) Control(c Control) error {
	if err := c.check(); err != nil {
		return err
	}
	s.faults.set(c)
	return nil
}

// Close drops what is under way; nothing is recorded after it.
func (s *Server) Close() (err error) {
	s.closing.Do(func() {
		s.faults.end()
		err = s.http.Close()
		if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		err = errors.Join(err, s.book.journal.close())
	})
	return err
}
