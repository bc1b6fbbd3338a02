package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/tenonhq/tenon/schema"
)

const (
	authorityLife   = 10 * 365 * 24 * time.Hour
	certificateLife = 365 * 24 * time.Hour
	// renewBefore is what a certificate must still be good for.
	renewBefore = 60 * 24 * time.Hour
)

// certificates makes the authority, the listeners' certificates and the
// database's passwords. What is there stays, but certificates near their end.
func (s setup) certificates() error {
	now := time.Now()
	authority, err := s.authority(now)
	if err != nil {
		return err
	}
	for service, names := range map[string][]string{
		"postgres": {"postgres", "localhost"}, "redis": {"redis", "localhost"}, "engine": {"engine", "localhost"}, "api": s.apiNames,
	} {
		owner := s.owner
		if service == "postgres" || service == "redis" {
			owner = s.postgres
		}
		text, err := s.have(service, "tls.pem")
		if err != nil {
			return err
		}
		if !good(text, authority.certificate, names, now) {
			if err := s.issue(authority, service, names, owner, now); err != nil {
				return err
			}
		}
	}
	return errors.Join(s.passwords(), s.redis(), s.directories())
}

// directories gives the services those that they write to.
func (s setup) directories() error {
	for _, name := range []string{"init-data", "engine-data", "keystore", "checkpoints", "run"} {
		dir := filepath.Join(s.out, name)
		err := os.MkdirAll(dir, 0o700)
		if err == nil {
			err = os.Chmod(dir, 0o700) //nolint:gosec // G302: a directory, for its owner alone.
		}
		if err == nil && s.owner >= 0 {
			err = os.Chown(dir, s.owner, s.owner)
		}
		if err != nil {
			return schema.Errorf(schema.CodeUnavailable, "a service's directory cannot be made: %w", err)
		}
	}
	return nil
}

// good tells whether a certificate of this authority is good for these names
// and for long enough.
func good(text []byte, authority *x509.Certificate, names []string, now time.Time) bool {
	block, _ := pem.Decode(text)
	if block == nil {
		return false
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil || c.CheckSignatureFrom(authority) != nil || now.After(c.NotAfter.Add(-renewBefore)) {
		return false
	}
	for _, name := range names {
		if c.VerifyHostname(name) != nil {
			return false
		}
	}
	return true
}

type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// authority is the one that an earlier run made, or a new one. Everyone gets its
// certificate, whether or not an earlier run was killed before it gave it.
func (s setup) authority(now time.Time) (authority, error) {
	c, err := s.have("authority", "ca.pem")
	if err != nil {
		return authority{}, err
	}
	k, err := s.have("authority", "ca.key")
	if err != nil {
		return authority{}, err
	}
	// The key is written first: without a certificate it has signed nothing.
	if c == nil {
		if c, k, err = s.found(now); err != nil {
			return authority{}, err
		}
	}
	a, err := parseAuthority(c, k)
	if err != nil {
		return authority{}, err
	}
	return a, s.write(-1, 0o644, c, "public", "ca.pem")
}

// found makes a new authority.
func (s setup) found(now time.Time) (certificate, private []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, schema.Errorf(schema.CodeInternal, "no key for the authority: %w", err)
	}
	template := template("Tenon private authority", now, authorityLife)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign
	c, k, err := sign(template, template, key, key)
	if err != nil {
		return nil, nil, err
	}
	if err := s.write(-1, 0o600, k, "authority", "ca.key"); err != nil {
		return nil, nil, err
	}
	return c, k, s.write(-1, 0o644, c, "authority", "ca.pem")
}

// another is what helps when the authority's files are of no use.
const another = "Bring back authority/ca.pem and authority/ca.key, or remove both: then a new authority is made, and a new certificate for each service."

func parseAuthority(certificate, key []byte) (a authority, err error) {
	c, _ := pem.Decode(certificate)
	k, _ := pem.Decode(key)
	if c == nil || k == nil {
		return a, schema.Errorf(schema.CodeInvalid, "the authority's certificate or its key is not there, or is no PEM").Advise(another)
	}
	if a.certificate, err = x509.ParseCertificate(c.Bytes); err == nil {
		a.key, err = x509.ParseECPrivateKey(k.Bytes)
	}
	if err != nil {
		return a, schema.Errorf(schema.CodeInvalid, "the authority's files cannot be read: %w", err).Advise(another)
	}
	if !a.key.PublicKey.Equal(a.certificate.PublicKey) {
		return a, schema.Errorf(schema.CodeInvalid, "the authority's key is not that of its certificate").Advise(another)
	}
	return a, nil
}

func (s setup) issue(a authority, service string, names []string, owner int, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "no key for a certificate: %w", err)
	}
	template := template(service, now, certificateLife)
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	c, k, err := sign(template, a.certificate, key, a.key)
	if err != nil {
		return err
	}
	if err := s.write(owner, 0o600, k, service, "tls.key"); err != nil {
		return err
	}
	return s.write(owner, 0o644, c, service, "tls.pem")
}

func template(name string, now time.Time, life time.Duration) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // it never fails
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(life),
	}
}

func sign(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (certificate, private []byte, err error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, nil, schema.Errorf(schema.CodeInternal, "a certificate cannot be signed: %w", err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, schema.Errorf(schema.CodeInternal, "a key does not encode: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), nil
}
