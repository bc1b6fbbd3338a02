package broker

import "net/netip"

// reach says how far a listing reaches beyond public addresses.
type reach int

const (
	// reachPublic: the host is not listed by the connection.
	reachPublic reach = iota
	// reachPrivate: the host's name is listed. It may resolve to the
	// organization's own network.
	reachPrivate
	// reachLocal: as reachPrivate, and to this machine: the name is localhost,
	// or TLS proves the name before anything is sent.
	reachLocal
	// reachLiteral: the address itself is listed.
	reachLiteral
)

var (
	// internal are networks behind an organization's own door.
	internal = prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15", "fc00::/7", "fec0::/10")
	// metadata are link-local networks and the cloud metadata services outside
	// of them: no name may lead there.
	metadata = prefixes("169.254.0.0/16", "fe80::/10", "100.100.100.200/32", "168.63.129.16/32",
		"192.0.0.192/32", "fd00:ec2::/32", "fd20:ce::/32", "fd00:42::42/128")
	// never are addresses that no service answers at, or that carry another
	// address inside and so would go around this check.
	never = prefixes("0.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "192.88.99.0/24",
		"224.0.0.0/4", "240.0.0.0/4", "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32",
		"2002::/16", "3fff::/20", "5f00::/16", "ff00::/8")
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

func within(address netip.Addr, list []netip.Prefix) bool {
	for _, prefix := range list {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// admits says whether an address may be connected to. Only addresses that are
// dialled as they are may be asked about.
func (r reach) admits(address netip.Addr) bool {
	if !address.IsValid() || address.Zone() != "" {
		return false
	}
	address = address.Unmap()
	if nat64.Contains(address) {
		// A translator would deliver this to the IPv4 address inside.
		bytes := address.As16()
		address = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	switch {
	case within(address, metadata):
		return r == reachLiteral
	case address.IsLoopback():
		return r >= reachLocal
	case within(address, internal):
		return r >= reachPrivate
	case within(address, never):
		return false
	default:
		return address.IsGlobalUnicast()
	}
}
