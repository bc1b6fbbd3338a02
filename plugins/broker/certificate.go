package broker

import (
	"crypto/tls"
	"encoding/pem"
	"sync"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// injectCertificate reads a client certificate and its key. The key signs the
// handshake in this process and is never sent (invariant 1).
func (d *draft) injectCertificate(values map[string]schema.Secret) (injected, error) {
	if d.target.scheme != "https" {
		return injected{}, refusedPlain()
	}
	chain, key := values["certificate"].Reveal(), values["private_key"].Reveal()
	pair, err := seal.ParsePair(chain, key)
	if err != nil {
		return injected{}, schema.Errorf(schema.CodeRefused, "the credential's certificate and key cannot be used together").
			Advise("Save the credential again, with all values of its scheme.")
	}
	added := injected{certificate: &pair}
	for _, text := range [][]byte{chain, key} {
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			// PEM is base64 of these bytes, with line breaks.
			added.secrets = append(added.secrets, secret{text: string(block.Bytes), whole: true})
		}
	}
	return added, nil
}

// holding lends a certificate to one handshake. A connection keeps its
// configuration for as long as it lives; the key must not live that long.
type holding struct {
	mu          sync.Mutex
	certificate *tls.Certificate
}

// config is the pool's, with the certificate for who asks for one.
func (h *holding) config(base *tls.Config) *tls.Config {
	if h.certificate == nil {
		return base
	}
	config := base.Clone()
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.certificate == nil {
			return &tls.Certificate{}, nil
		}
		return h.certificate, nil
	}
	return config
}

// drop ends the loan.
func (h *holding) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.certificate = nil
}
