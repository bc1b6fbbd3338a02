package verify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api/internal/verify"
	"github.com/tenonhq/tenon/schema/config"
)

// issue makes a certificate: of an authority when issuer is nil.
func issue(t *testing.T, issuer *x509.Certificate, by *ecdsa.PrivateKey, change func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: issuer == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if issuer == nil {
		issuer, by = template, key
	} else {
		template.DNSNames, template.ExtKeyUsage = []string{"shop.example"}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), by)
	require.NoError(t, err)
	made, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return made, key
}

func TestMTLS(t *testing.T) {
	authority, key := issue(t, nil, nil, nil)
	foreign, foreignKey := issue(t, nil, nil, nil)
	client, _ := issue(t, authority, key, nil)
	other, _ := issue(t, authority, key, func(c *x509.Certificate) { c.DNSNames = []string{"other.example"} })
	server, _ := issue(t, authority, key, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	expired, _ := issue(t, authority, key, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) })
	early, _ := issue(t, authority, key, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) })
	forged, _ := issue(t, foreign, foreignKey, nil)

	print := func(c *x509.Certificate) string { s := sha256.Sum256(c.Raw); return hex.EncodeToString(s[:]) }
	pinned := config.Source{Verifier: config.VerifierMTLS, MTLS: &config.MTLS{Fingerprints: []string{print(forged), print(client), print(expired)}}}
	issued := config.Source{Verifier: config.VerifierMTLS, MTLS: &config.MTLS{
		Authority: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Raw})), Names: []string{"shop.example"},
	}}
	require.NoError(t, verify.Check(pinned))
	require.NoError(t, verify.Check(issued))
	from := func(chain ...*x509.Certificate) verify.Request {
		r := post("{}")
		r.Peer = chain
		return r
	}
	for _, s := range []config.Source{pinned, issued} {
		_, err := verify.Verify(s, from(client))
		require.NoError(t, err)
		refused(t, s, from())
		refused(t, s, from(other))
		refused(t, s, from(expired))
		refused(t, s, from(other, client))
		forwarded := from()
		forwarded.Header.Set("X-Forwarded-Client-Cert", "Hash="+print(client))
		forwarded.Header.Set("X-SSL-Client-Cert", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: client.Raw})))
		refused(t, s, forwarded)
	}
	for name, c := range map[string]*x509.Certificate{"a server's": server, "early": early, "another authority's": forged, "the authority's own": authority} {
		t.Run(name, func(t *testing.T) { refused(t, issued, from(c)) })
	}
	refused(t, issued, from(forged, foreign))
	nameless := issued
	nameless.MTLS = &config.MTLS{Authority: issued.MTLS.Authority}
	require.Error(t, verify.Check(nameless))
}
