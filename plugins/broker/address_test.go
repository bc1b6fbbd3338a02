package broker

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestReach(t *testing.T) {
	t.Parallel()
	for text, least := range map[string]reach{
		"93.184.215.14": reachPublic, "2606:4700::1111": reachPublic, "::ffff:8.8.8.8": reachPublic, "64:ff9b::8.8.8.8": reachPublic,

		"10.0.0.1": reachPrivate, "172.31.255.255": reachPrivate, "192.168.1.1": reachPrivate, "100.64.0.1": reachPrivate,
		"fd12::1": reachPrivate, "::ffff:10.0.0.1": reachPrivate, "64:ff9b::10.0.0.1": reachPrivate, "198.18.0.1": reachPrivate,

		"127.0.0.1": reachLocal, "127.255.0.9": reachLocal, "::1": reachLocal, "::ffff:127.0.0.1": reachLocal, "64:ff9b::127.0.0.1": reachLocal,

		"169.254.169.254": reachLiteral, "fe80::1": reachLiteral, "fd00:ec2::254": reachLiteral, "100.100.100.200": reachLiteral,
		"168.63.129.16": reachLiteral, "64:ff9b::169.254.169.254": reachLiteral, "::ffff:169.254.169.254": reachLiteral,
	} {
		address := netip.MustParseAddr(text)
		for r := reachPublic; r <= reachLiteral; r++ {
			assert.Equal(t, r >= least, r.admits(address), "%s at reach %d", text, r)
		}
	}
	for _, text := range []string{
		"0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "255.255.255.255", "240.0.0.1", "ff02::1", "2002:7f00:1::", "2001::1", "64:ff9b:1::7f00:1",
		"::7f00:1", "::ffff:0:127.0.0.1", "192.0.2.1", "2001:db8::1", "fe80::1%eth0", "64:ff9b::0.0.0.0",
	} {
		assert.False(t, reachLiteral.admits(netip.MustParseAddr(text)), text)
	}
	assert.False(t, reachLiteral.admits(netip.Addr{}))
}
