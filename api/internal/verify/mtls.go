package verify

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/url"
	"slices"

	"github.com/tenonhq/tenon/schema/config"
)

// certificate verifies the client's certificate, whose key the TLS handshake
// proved: one of those that are pinned, or one of the authority. It is judged
// by this process's own handshake only: no header of a proxy counts.
func certificate(source config.Source, _ []string, r Request) (proof, error) {
	if source.MTLS == nil {
		return proof{}, refuse("the source has no description of its certificates")
	}
	if len(r.Peer) == 0 {
		return proof{}, refuse("the client showed no certificate")
	}
	leaf := r.Peer[0]
	if r.At.Before(leaf.NotBefore) || r.At.After(leaf.NotAfter) {
		return proof{}, refuse("the certificate is not valid at this time")
	}
	if !pinned(source.MTLS.Fingerprints, leaf) && !issued(*source.MTLS, r) {
		return proof{}, refuse("the certificate is not one of the source's")
	}
	return proof{digest: sha256.Sum256(r.Body)}, nil
}

func pinned(fingerprints []string, leaf *x509.Certificate) bool {
	sum := sha256.Sum256(leaf.Raw)
	matched := 0
	for _, f := range fingerprints {
		want, err := hex.DecodeString(f)
		if err == nil {
			matched |= subtle.ConstantTimeCompare(sum[:], want)
		}
	}
	return matched == 1
}

// issued says whether the authority issued the certificate, for a client, with
// one of the names.
func issued(how config.MTLS, r Request) bool {
	roots, ok := authorities(how.Authority)
	if !ok {
		return false
	}
	between := x509.NewCertPool()
	for _, c := range r.Peer[1:] {
		between.AddCert(c)
	}
	leaf := r.Peer[0]
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: r.At, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return false
	}
	for _, name := range how.Names {
		if slices.Contains(leaf.DNSNames, name) || slices.ContainsFunc(leaf.URIs, func(u *url.URL) bool { return u.String() == name }) {
			return true
		}
	}
	return false
}

// authorities parses certificates in PEM, and nothing else.
func authorities(text string) (*x509.CertPool, bool) {
	pool, found, rest := x509.NewCertPool(), false, []byte(text)
	for len(rest) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil || !c.IsCA {
			return nil, false
		}
		pool.AddCert(c)
		found = true
	}
	return pool, found
}
