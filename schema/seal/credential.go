package seal

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net"
	"strconv"
	"strings"

	"github.com/tenonhq/tenon/schema"
)

// CredentialMagic begins the plaintext of a sealed credential; JSON follows.
const CredentialMagic = "tenon-credential-v1\n"

// The schemes of injection.
const (
	SchemeBearer = "bearer"
	SchemeHeader = "header"
	SchemeQuery  = "query"
	SchemeBasic  = "basic"
)

// Use is what a credential may be used for. It is sealed in with the values:
// changing any of it means entering the credential again.
type Use struct {
	// Hosts are "host" or "host:port", lower case; the port is 443 by default.
	Hosts []string `json:"hosts"`
	// PathPrefix is what every path must begin with; empty for any.
	PathPrefix string    `json:"path_prefix,omitempty"`
	Inject     Injection `json:"inject"`
	// CA is a private certificate authority in PEM; empty for the system's.
	CA string `json:"ca,omitempty"`
	// PlainHTTP permits requests without TLS.
	PlainHTTP bool `json:"plain_http,omitempty"`
}

// Injection is where the credential goes in a request.
type Injection struct {
	// Scheme is bearer, header, query or basic.
	Scheme string `json:"scheme"`
	// Name of the header or query parameter, for those schemes.
	Name string `json:"name,omitempty"`
	// Prefix before the value in a header.
	Prefix string `json:"prefix,omitempty"`
}

// Credential is the plaintext of a sealed credential. Values by scheme: bearer
// "token"; header and query "value"; basic "username" and "password".
type Credential struct {
	Organization string            `json:"organization"`
	Connection   string            `json:"connection"`
	Version      int               `json:"version"`
	Use          Use               `json:"use"`
	Values       map[string]string `json:"values"`
}

// SealCredential seals a credential to a cell's public key. Only a public key
// is needed: clients seal by themselves.
func SealCredential(to PublicKey, c Credential) ([]byte, error) {
	if err := CheckUse(c.Use); err != nil {
		return nil, err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "the credential does not encode")
	}
	defer clear(text)
	return sealTo(to, SuiteCredential, append([]byte(CredentialMagic), text...))
}

// CheckUse says what is wrong with a use, with a pointer to the place.
func CheckUse(u Use) error {
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
	if err := checkInjection(u.Inject); err != nil {
		return err
	}
	if u.CA != "" {
		return checkCA(u.CA)
	}
	return nil
}

func validHost(h string) bool {
	host, port, err := net.SplitHostPort(h)
	if err != nil {
		host = strings.Trim(h, "[]")
		port = "443"
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65535 || host == "" || len(host) > 253 || host != strings.ToLower(host) {
		return false
	}
	if net.ParseIP(host) != nil {
		return true
	}
	for _, r := range host {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' {
			return false
		}
	}
	return !strings.HasPrefix(host, ".") && !strings.HasPrefix(host, "-")
}

func checkInjection(in Injection) error {
	switch in.Scheme {
	case SchemeBearer, SchemeBasic:
		if in.Name != "" || in.Prefix != "" {
			return schema.Errorf(schema.CodeInvalid, "the scheme has neither name nor prefix").At("/inject")
		}
	case SchemeHeader, SchemeQuery:
		if in.Name == "" || len(in.Name) > 128 || strings.ContainsFunc(in.Name, notToken) {
			return schema.Errorf(schema.CodeInvalid, "the scheme needs the name of a header or query parameter").At("/inject/name")
		}
		if strings.ContainsAny(in.Prefix, "\r\n\x00") || in.Scheme == SchemeQuery && in.Prefix != "" {
			return schema.Errorf(schema.CodeInvalid, "not a prefix").At("/inject/prefix")
		}
	default:
		return schema.Errorf(schema.CodeInvalid, "unknown scheme").At("/inject/scheme").Advise("Use bearer, header, query or basic.")
	}
	return nil
}

func notToken(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.~!$&'*+^`|", r)
}

func checkCA(text string) error {
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
	return schema.Errorf(schema.CodeInvalid, "not certificates in PEM").At("/ca").Advise("Give the certificate authority's certificate, never a private key.")
}
