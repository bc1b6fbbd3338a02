package worker

import (
	"crypto/tls"
	"crypto/x509"
	"net"

	"github.com/tenonhq/tenon/schema"
)

// EngineTLS is how the engine at an address is reached: verified with the
// authority in PEM, or nil, in clear, on loopback and without an authority.
func EngineTLS(address string, ca []byte) (*tls.Config, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "the engine's address must be host:port")
	}
	if len(ca) == 0 {
		if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
			return nil, nil //nolint:nilnil // No configuration is the engine client's own word for no TLS.
		}
		return nil, schema.Errorf(schema.CodeInvalid, "the engine at %s is beyond loopback and needs an authority to verify it with", address).
			Advise("Give the setting engine-ca.")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, schema.Errorf(schema.CodeInvalid, "the engine's certificate authority must hold certificates in PEM")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, ServerName: host}, nil
}
