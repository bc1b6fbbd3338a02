package seal

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"time"
)

// soon is when a certificate's end is near enough to say so.
const soon = 30 * 24 * time.Hour

// pair checks a client certificate and its key, both in PEM. They are parsed by
// the same code that uses them.
func (c *checker) pair() error {
	certificate, key := c.values["certificate"], c.values["private_key"]
	if !onlyBlocks(certificate, "CERTIFICATE") {
		return bad("certificate", "not certificates in PEM, or more than that",
			"Give the client's certificate, then those of its issuers: -----BEGIN CERTIFICATE-----. The key has a place of its own.")
	}
	if strings.Contains(key, "ENCRYPTED") {
		return bad("private_key", "the key is encrypted with a passphrase", "Decrypt it: openssl pkey -in key.pem. It is sealed before it is stored.")
	}
	if !onlyBlocks(key, "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY") {
		return bad("private_key", "not one private key in PEM, or more than that", "Give the key alone: -----BEGIN PRIVATE KEY-----.")
	}
	chain, secret := []byte(certificate), []byte(key)
	defer clear(secret)
	pair, err := ParsePair(chain, secret)
	if err != nil {
		if errors.Is(err, errForeignKey) {
			return bad("private_key", "the key is not that of the first certificate", "Give the key that the certificate was issued for.")
		}
		return bad("private_key", "certificate and key cannot be used together", "Both are needed in PEM; keys may be RSA, ECDSA or Ed25519.")
	}
	leaf := pair.Leaf
	now := time.Now()
	switch {
	case now.After(leaf.NotAfter):
		return bad("certificate", "the certificate has expired", "Have a new one issued.")
	case now.Add(soon).After(leaf.NotAfter):
		c.warn("certificate", "the certificate ends within 30 days", "Have a new one issued, and enter it before.")
	case now.Before(leaf.NotBefore):
		c.warn("certificate", "the certificate is not valid yet", "It will be refused until it is.")
	}
	usages := leaf.ExtKeyUsage
	if len(usages) > 0 && !slices.Contains(usages, x509.ExtKeyUsageClientAuth) && !slices.Contains(usages, x509.ExtKeyUsageAny) {
		c.warn("certificate", "the certificate was not issued for clients", "Have one issued with the usage clientAuth.")
	}
	if key, ok := leaf.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < 2048 {
		c.warn("private_key", "the key is shorter than 2048 bits", "Have a certificate issued for a longer one.")
	}
	return nil
}

// errForeignKey: the key is not that of the certificate.
var errForeignKey = errors.New("the key is not that of the first certificate")

// ParsePair reads a chain of certificates and the private key of its first one,
// both PEM: [tls.X509KeyPair] without a copy of the key's encoding, which nobody
// could overwrite. Its errors do not describe the key.
func ParsePair(chain, key []byte) (tls.Certificate, error) {
	var pair tls.Certificate
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		pair.Certificate = append(pair.Certificate, block.Bytes)
	}
	block, _ := pem.Decode(key)
	if block == nil || len(pair.Certificate) == 0 {
		return tls.Certificate{}, errors.New("there is no certificate, or no key")
	}
	defer clear(block.Bytes)
	var err error
	if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
		return tls.Certificate{}, errors.New("the first certificate does not parse")
	}
	signer := parseKey(block.Bytes)
	if signer == nil {
		return tls.Certificate{}, errors.New("the key does not parse, or is of a kind that does not sign")
	}
	if public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(pair.Leaf.PublicKey) {
		return tls.Certificate{}, errForeignKey
	}
	pair.PrivateKey = signer
	return pair, nil
}

// parseKey reads a key in any of the three encodings, whatever its block is
// called; nil for another one.
func parseKey(der []byte) crypto.Signer {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		signer, _ := key.(crypto.Signer)
		return signer
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key
	}
	return nil
}

// onlyBlocks tells whether a text is PEM blocks of these types and nothing else;
// of keys there is one.
func onlyBlocks(text string, types ...string) bool {
	whole := []byte(text)
	defer clear(whole)
	for rest, n := whole, 0; ; n++ {
		before := bytes.TrimSpace(rest)
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return n > 0 && len(before) == 0
		}
		clear(block.Bytes)
		// Text before a block would be passed over in silence.
		if !slices.Contains(types, block.Type) || !bytes.HasPrefix(before, []byte("-----BEGIN")) || n > 0 && types[0] != "CERTIFICATE" {
			return false
		}
	}
}
