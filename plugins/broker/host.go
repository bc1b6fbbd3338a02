package broker

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

var errHost = errors.New("the host is not a valid name or address")

// canonicalHost brings a host (without port and brackets) into the one form in
// which hosts are compared, dialled and verified: lower case, punycode,
// no trailing dot; addresses in their shortest notation, IPv4 within IPv6 as
// IPv4. Notations that resolvers read differently (octal, hexadecimal or short
// IPv4) are errors, as are zones.
func canonicalHost(host string) (name string, address netip.Addr, err error) {
	if strings.Contains(host, ":") {
		address, err := netip.ParseAddr(host)
		if err != nil || address.Zone() != "" {
			return "", netip.Addr{}, errHost
		}
		address = address.Unmap()
		return address.String(), address, nil
	}
	name, err = canonicalName(host)
	if err != nil {
		return "", netip.Addr{}, err
	}
	// Mapped names are looked at again: full-width digits become an address.
	if last := name[strings.LastIndexByte(name, '.')+1:]; isNumber(last) {
		address, err := netip.ParseAddr(name)
		if err != nil || !address.Is4() {
			return "", netip.Addr{}, errHost
		}
		return address.String(), address, nil
	}
	return name, netip.Addr{}, nil
}

func canonicalName(host string) (string, error) {
	name := strings.ToLower(host)
	if !isASCII(name) || strings.Contains(name, "xn--") {
		ascii, err := idna.Lookup.ToASCII(name)
		if err != nil || !isASCII(ascii) {
			return "", errHost
		}
		name = strings.ToLower(ascii)
	}
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return "", errHost
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", errHost
		}
		for i := range len(label) {
			if c := label[i]; c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return "", errHost
			}
		}
	}
	return name, nil
}

// isNumber says whether some resolver would read a host's last label as a
// number and thus the host as an IPv4 address.
func isNumber(label string) bool {
	digits, hex := true, strings.HasPrefix(label, "0x")
	for i := range len(label) {
		if label[i] < '0' || label[i] > '9' {
			digits = false
		}
		if i >= 2 && hex && !isHex(label[i]) {
			hex = false
		}
	}
	return digits || hex
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// origin is where a request goes: what must match for a secret to go along.
type origin struct {
	host    string
	address netip.Addr // valid when host is an address
	port    uint16
}

// String is the origin as it stands in errors: never more than host and port.
func (o origin) String() string {
	host := o.host
	if o.address.Is6() {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(o.port))
}

// parseOrigin reads host, host:port or [v6]:port; port 0 says that none stands there.
func parseOrigin(authority string) (origin, error) {
	host, port := authority, ""
	switch {
	case strings.HasPrefix(authority, "["):
		end := strings.IndexByte(authority, ']')
		if end < 0 || !strings.Contains(authority[:end], ":") {
			return origin{}, errHost
		}
		host, port = authority[1:end], authority[end+1:]
		if port != "" && port[0] != ':' {
			return origin{}, errHost
		}
		port = strings.TrimPrefix(port, ":")
	case strings.Count(authority, ":") == 1:
		host, port, _ = strings.Cut(authority, ":")
	case strings.Contains(authority, ":"):
		return origin{}, errHost
	}
	name, address, err := canonicalHost(host)
	if err != nil {
		return origin{}, err
	}
	o := origin{host: name, address: address}
	if port != "" {
		if len(port) > 5 || strings.Trim(port, "0123456789") != "" {
			return origin{}, errors.New("the port is not a number")
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || number == 0 {
			return origin{}, errors.New("the port is out of range")
		}
		o.port = uint16(number)
	}
	return o, nil
}
