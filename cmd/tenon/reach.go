package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"time"

	"github.com/tenonhq/tenon/schema"
)

// clientTimeout bounds a request of a command to the API.
const clientTimeout = 30 * time.Second

// readOptional reads the file that a setting names, if it names one.
func readOptional(name, path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "setting %s must name a file that can be read: %w", name, err)
	}
	return text, nil
}

// apiClient reaches the API, and trusts a private certificate authority
// instead of the system's when a file of one is given.
func apiClient(caFile string) (*http.Client, error) {
	pem, err := readOptional("api-ca", caFile)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if pem != nil {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, schema.Errorf(schema.CodeInvalid, "the file of the API's certificate authority must hold certificates in PEM")
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &http.Client{Transport: transport, Timeout: clientTimeout}, nil
}
