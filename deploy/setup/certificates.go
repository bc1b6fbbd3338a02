package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
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
		if !good(s.have(service, "tls.pem"), authority.certificate, names, now) {
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

func (s setup) authority(now time.Time) (authority, error) {
	if c, k := s.have("authority", "ca.pem"), s.have("authority", "ca.key"); c != nil && k != nil {
		return parseAuthority(c, k)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, schema.Errorf(schema.CodeInternal, "no key for the authority: %w", err)
	}
	template := template("Tenon private authority", now, authorityLife)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign
	c, k, err := sign(template, template, key, key)
	if err != nil {
		return authority{}, err
	}
	for _, f := range []struct {
		mode fs.FileMode
		text []byte
		path []string
	}{{0o600, k, []string{"authority", "ca.key"}}, {0o644, c, []string{"authority", "ca.pem"}}, {0o644, c, []string{"public", "ca.pem"}}} {
		if err := s.write(-1, f.mode, f.text, f.path...); err != nil {
			return authority{}, err
		}
	}
	return parseAuthority(c, k)
}

func parseAuthority(certificate, key []byte) (a authority, err error) {
	c, _ := pem.Decode(certificate)
	k, _ := pem.Decode(key)
	if c == nil || k == nil {
		return a, schema.Errorf(schema.CodeInvalid, "the authority's files are not PEM")
	}
	if a.certificate, err = x509.ParseCertificate(c.Bytes); err == nil {
		a.key, err = x509.ParseECPrivateKey(k.Bytes)
	}
	if err != nil {
		return a, schema.Errorf(schema.CodeInvalid, "the authority's files cannot be read: %w", err)
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

// roles are the database's, which database each begins with, and who logs in as
// which (see deploy/postgres/roles.sql).
var roles = []struct {
	name, database string
	services       []string
}{
	{"superuser", "", nil},
	{"host", "tenon", []string{"host", "init"}},
	{"api", "tenon", []string{"api"}},
	{"engine", "postgres", []string{"engine"}},
}

// passwords makes one for each role, beside PostgreSQL, and as the URL of each
// service that uses the role.
func (s setup) passwords() error {
	for _, r := range roles {
		if err := s.password(r.name, r.services, r.database); err != nil {
			return err
		}
	}
	return nil
}

func (s setup) password(role string, services []string, database string) error {
	text := s.have("postgres", role+".password")
	if text == nil {
		var b [24]byte
		_, _ = rand.Read(b[:]) // it never fails
		text = []byte(hex.EncodeToString(b[:]))
		if err := s.write(s.postgres, 0o600, text, "postgres", role+".password"); err != nil {
			return err
		}
	}
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("tenon_"+role, strings.TrimSpace(string(text))), Host: s.database, Path: "/" + database,
		RawQuery: url.Values{"sslmode": {"verify-full"}, "sslrootcert": {s.trusted}}.Encode(),
	}
	for _, service := range services {
		if err := s.write(s.owner, 0o600, []byte(u.String()), service, "postgres-url"); err != nil {
			return err
		}
	}
	return nil
}
