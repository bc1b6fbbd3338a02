package seal

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"strings"

	"github.com/tenonhq/tenon/schema"
)

// hostLimit bounds the hosts of a use.
const hostLimit = 64

// CheckUse says what is wrong with a use, with a pointer to the place.
func CheckUse(u Use) error {
	if len(u.Hosts) > hostLimit {
		return schema.Errorf(schema.CodeTooLarge, "more than %d hosts", hostLimit).At("/hosts")
	}
	if len(u.Hosts) == 0 {
		return schema.Errorf(schema.CodeInvalid, "at least one host is needed").At("/hosts").
			Advise(`Name the hosts that the credential may go to, such as "api.example.com" or "10.0.0.7:8443".`)
	}
	for i, h := range u.Hosts {
		if !validHost(h) {
			return schema.Errorf(schema.CodeInvalid, "not a host").At("/hosts/" + strconv.Itoa(i)).
				Advise(`Write "host" or "host:port" in lower case, without scheme, path or wildcard.`)
		}
	}
	if u.PathPrefix != "" && (!strings.HasPrefix(u.PathPrefix, "/") || strings.ContainsAny(u.PathPrefix, "%?#\\\x00") || strings.Contains(u.PathPrefix, "..")) {
		return schema.Errorf(schema.CodeInvalid, "not a plain path prefix").At("/path_prefix").Advise(`It begins with "/" and holds no "..", "%", "?" or "#".`)
	}
	if u.Inject.Scheme == SchemeMTLS && u.PlainHTTP {
		return schema.Errorf(schema.CodeInvalid, "a client certificate is shown over TLS only").At("/plain_http")
	}
	if err := checkInjection(u.Inject); err != nil {
		return err
	}
	if u.CA != "" {
		return checkCA(u.CA, "/ca")
	}
	return nil
}

// Equal tells whether two uses are the same to the byte, as they are stored.
func (u Use) Equal(other Use) bool {
	if reflect.DeepEqual(u, other) {
		return true
	}
	a, err := json.Marshal(u)
	b, otherErr := json.Marshal(other)
	return err == nil && otherErr == nil && bytes.Equal(a, b)
}

// validHost accepts a DNS name or an address, in the one form in which a request
// names it, so that two spellings never mean the same host.
func validHost(h string) bool {
	host, port, err := net.SplitHostPort(h)
	if err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return false
		}
	} else {
		host = h
		if inner, ok := strings.CutPrefix(h, "["); ok {
			if host, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(host, ":") {
				return false
			}
		}
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		// An IPv4 address in IPv6 clothes is another spelling of the first.
		return ip.String() == host && ip.Zone() == "" && !ip.Is4In6()
	}
	return validName(host)
}

func validName(name string) bool {
	if len(name) > 253 {
		return false
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
				return false
			}
		}
	}
	// A last label that begins with a digit is, to some, an address: 127.1, 0x7f.1.
	last := labels[len(labels)-1]
	return last[0] < '0' || last[0] > '9'
}

// caLimit bounds the private certificates of a use.
const caLimit = 64 << 10

func checkCA(text, at string) error {
	if len(text) > caLimit {
		return schema.Errorf(schema.CodeTooLarge, "the certificates have more than %d bytes", caLimit).At(at)
	}
	rest := []byte(text)
	for n := 0; ; n++ {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			if n == 0 || strings.TrimSpace(string(rest)) != "" {
				break
			}
			return nil
		}
		if block.Type != "CERTIFICATE" {
			break
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			break
		}
	}
	return schema.Errorf(schema.CodeInvalid, "not certificates in PEM").At(at).Advise("Give the certificate authority's certificate, never a private key.")
}
