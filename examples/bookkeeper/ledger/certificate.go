package ledger

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	caFile          = "ca.pem"
	certificateFile = "server.pem"
	keyFile         = "server.key"
)

// ensureCertificate returns the server certificate in the directory, made at
// the first start by an authority of its own whose key is thrown away: ca.pem
// stays valid for a connection that was given it, restart after restart.
func ensureCertificate(directory string, now time.Time) (tls.Certificate, error) {
	certificate, err := tls.LoadX509KeyPair(filepath.Join(directory, certificateFile), filepath.Join(directory, keyFile))
	if err == nil && now.Before(certificate.Leaf.NotAfter.Add(-24*time.Hour)) {
		return certificate, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return tls.Certificate{}, err
	}
	ca, server, key, err := makeCertificate(now)
	if err != nil {
		return tls.Certificate{}, err
	}
	// The key last: the pair loads only when all of it is there.
	for _, file := range []struct {
		name    string
		content []byte
	}{{caFile, ca}, {certificateFile, server}, {keyFile, key}} {
		if err := writeAtomic(filepath.Join(directory, file.name), file.content); err != nil {
			return tls.Certificate{}, err
		}
	}
	return tls.X509KeyPair(server, key)
}

func makeCertificate(now time.Time) (ca, server, key []byte, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	caTemplate := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "Bookkeeper example CA"},
		NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(5, 0, 0), IsCA: true, MaxPathLenZero: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, caTemplate, caTemplate, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano() + 1), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(5, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	serverDER, err := x509.CreateCertificate(rand.Reader, template, caTemplate, &serverKey.PublicKey, caKey)
	if err != nil {
		return nil, nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		return nil, nil, nil, err
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return block("CERTIFICATE", caDER), block("CERTIFICATE", serverDER), block("PRIVATE KEY", keyDER), nil
}

// writeAtomic writes a file that is either absent or whole.
func writeAtomic(path string, content []byte) error {
	temporary := path + ".new"
	file, err := os.OpenFile(filepath.Clean(temporary), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}
