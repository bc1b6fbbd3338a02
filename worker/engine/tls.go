package engine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"time"

	"go.temporal.io/server/common/rpc/encryption"

	"github.com/tenonhq/tenon/schema"
)

// internodeName is the name in the certificate that all services share.
const internodeName = "tenon-engine-internode"

// internodeLifetime outlasts any process; the keys die with it.
const internodeLifetime = 10 * 365 * 24 * time.Hour

// transport returns the TLS configurations of the services: mutual TLS between
// them with a certificate made for this process, and the operator's
// certificate, if any, on the frontend. Without the former every process on
// this machine could command the history service past the frontend's checks.
func transport(frontend *tls.Certificate) (encryption.TLSConfigProvider, error) {
	certificate, pool, err := internodeCertificate(time.Now())
	if err != nil {
		return nil, schema.Errorf(schema.CodeInternal, "the certificate between the services cannot be made: %w", err)
	}
	provider := &encryption.FixedTLSConfigProvider{
		InternodeServerConfig: &tls.Config{
			MinVersion:   tls.VersionTLS13,
			Certificates: []tls.Certificate{certificate},
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ClientCAs:    pool,
		},
		InternodeClientConfig: &tls.Config{
			MinVersion:   tls.VersionTLS13,
			Certificates: []tls.Certificate{certificate},
			RootCAs:      pool,
			ServerName:   internodeName,
		},
	}
	if frontend != nil {
		provider.FrontendServerConfig = &tls.Config{
			MinVersion:   tls.VersionTLS12,
			Certificates: []tls.Certificate{*frontend},
		}
	}
	return provider, nil
}

// internodeCertificate makes a self-signed certificate that is its own and only root.
func internodeCertificate(now time.Time) (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: internodeName},
		DNSNames:     []string{internodeName},
		// It lives as long as the process: a clock that is set does not end it.
		NotBefore:             now.Add(-internodeLifetime),
		NotAfter:              now.Add(internodeLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool, nil
}
