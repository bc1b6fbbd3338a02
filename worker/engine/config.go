package engine

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/token"
)

// Verifier checks the tokens that callers bring.
type Verifier interface {
	// Verify returns the claims of a valid token, and an error otherwise; it
	// never quotes the token.
	Verify(token string, now time.Time) (token.Claims, error)
}

// Config says how an engine runs.
type Config struct {
	// Directory is the engine's own directory, absolute, created when absent:
	// the file temporal.db (unless PostgresURL is set) and the file version.
	Directory string
	// PostgresURL, when set, is where the engine keeps its state instead:
	// postgres://user:password@host:port/database?sslmode=…, a role that may
	// create databases. The engine makes two, named DatabasePrefix and
	// "temporal" or "visibility".
	PostgresURL string
	// DatabasePrefix is "tenon_" by default.
	DatabasePrefix string
	// Frontend is the gRPC address, "127.0.0.1:0" by default. Off loopback it
	// needs Certificate.
	Frontend string
	// UI is the address of the web UI; empty for none. Off loopback it needs
	// Certificate.
	UI string
	// Certificate, when set, makes the frontend and the UI speak TLS 1.2 or newer.
	Certificate *tls.Certificate
	// Verifier is required.
	Verifier Verifier
	// UIHost is the host and port by which browsers reach the UI; the address
	// that it listens on by default.
	UIHost string
	// CodecCA, when set, verifies the codec endpoint instead of the system's
	// authorities.
	CodecCA *x509.CertPool
	// CodecEndpoint is the base URL of the API's codec endpoint; the UI's
	// /codec/… goes to CodecEndpoint/…. Empty: the UI shows payloads sealed.
	CodecEndpoint string
	// Recorder puts on the record what operators change, before it is changed.
	// Nil: operators change nothing, and log in nowhere.
	Recorder Recorder
	// Logger is required. The server's informational lines appear on it as
	// debug lines.
	Logger *slog.Logger
}

// check fills in defaults and refuses what cannot be run.
func (c *Config) check() error {
	if c.Verifier == nil {
		return schema.Errorf(schema.CodeInvalid, "the engine needs a token verifier").At("/verifier")
	}
	if c.Logger == nil {
		return schema.Errorf(schema.CodeInvalid, "the engine needs a logger").At("/logger")
	}
	if !filepath.IsAbs(c.Directory) {
		return schema.Errorf(schema.CodeInvalid, "the engine's directory must be an absolute path").At("/directory")
	}
	if c.Frontend == "" {
		c.Frontend = "127.0.0.1:0"
	}
	if c.DatabasePrefix == "" {
		c.DatabasePrefix = "tenon_"
	}
	if err := c.checkAddress(c.Frontend, "/frontend"); err != nil {
		return err
	}
	if c.UI != "" {
		if err := c.checkAddress(c.UI, "/ui"); err != nil {
			return err
		}
	}
	if c.CodecEndpoint != "" {
		if err := checkEndpoint(c.CodecEndpoint); err != nil {
			return err.At("/codec_endpoint")
		}
	}
	return nil
}

// checkEndpoint refuses an address of the API that an operator's token must
// not travel to.
func checkEndpoint(address string) *schema.Error {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return schema.Errorf(schema.CodeInvalid, "an endpoint of the API must be an http or https URL")
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return schema.Errorf(schema.CodeInvalid, "an endpoint of the API beyond this machine must be https")
	}
	return nil
}

// checkAddress refuses plaintext listeners that other machines can reach.
func (c *Config) checkAddress(address, pointer string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || net.ParseIP(host) == nil {
		return schema.Errorf(schema.CodeInvalid, "the address must be an IP address and a port").At(pointer)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || (n > 32767 && c.PostgresURL != "" && pointer == "/frontend") {
		// The server keeps its port in a smallint column on PostgreSQL.
		return schema.Errorf(schema.CodeInvalid, "the port must be a number from 0 to 65535, on PostgreSQL to 32767").At(pointer)
	}
	if c.Certificate == nil && !loopback(host) {
		return schema.Errorf(schema.CodeInvalid, "an address beyond loopback needs a certificate").At(pointer)
	}
	return nil
}

// loopback says whether a host is an address of this machine only.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
