package seal

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
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
	keyText := []byte(key)
	defer clear(keyText)
	pair, err := tls.X509KeyPair([]byte(certificate), keyText)
	if err != nil {
		if strings.Contains(err.Error(), "does not match") {
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

// onlyBlocks tells whether a text is PEM blocks of these types and nothing else;
// of keys there is one.
func onlyBlocks(text string, types ...string) bool {
	rest, n := []byte(text), 0
	for {
		before := rest
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return n > 0 && strings.TrimSpace(string(before)) == ""
		}
		// Text before a block would be passed over in silence.
		if !slices.Contains(types, block.Type) || !strings.HasPrefix(strings.TrimSpace(string(before)), "-----BEGIN") {
			return false
		}
		n++
		if n > 1 && types[0] != "CERTIFICATE" {
			return false
		}
	}
}
