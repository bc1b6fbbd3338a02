package confine

import (
	"net"
	"strconv"

	"golang.org/x/sys/unix"
)

// firstOpen is the first port that everybody may listen on.
const firstOpen = 1024

// Listening are the capabilities that listening on the addresses needs.
func Listening(addresses ...string) []int {
	for _, address := range addresses {
		_, text, err := net.SplitHostPort(address)
		if err != nil {
			continue
		}
		if port, err := strconv.Atoi(text); err == nil && port > 0 && port < firstOpen {
			return []int{unix.CAP_NET_BIND_SERVICE}
		}
	}
	return nil
}
