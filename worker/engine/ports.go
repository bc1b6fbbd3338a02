package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"math/big"
	"net"
	"strconv"

	"github.com/tenonhq/tenon/schema"
)

// The services need their ports before they listen. They are taken from below
// the range that systems hand out by themselves, so that no other program is
// given one in between, and below 32768, which is what fits the server's
// column on PostgreSQL.
const (
	portFrom = 20000
	portTo   = 32000
	portsTry = 64
)

// pickPort returns a port of an address that is free now, and was not picked before.
func pickPort(ctx context.Context, host string, picked map[int]bool) (int, error) {
	var last error
	for range portsTry {
		n, err := rand.Int(rand.Reader, big.NewInt(portTo-portFrom))
		if err != nil {
			return 0, schema.Errorf(schema.CodeInternal, "no port can be picked: %w", err)
		}
		port := portFrom + int(n.Int64())
		if picked[port] {
			continue
		}
		if last = tryPort(ctx, host, port); last == nil {
			picked[port] = true
			return port, nil
		}
	}
	return 0, schema.Errorf(schema.CodeUnavailable, "no free port was found: %w", last)
}

// tryPort says whether a port can be listened on.
func tryPort(ctx context.Context, host string, port int) error {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}

// frontendPort is the port of the configured address, or a free one for 0.
func frontendPort(ctx context.Context, address string, picked map[int]bool) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, schema.Errorf(schema.CodeInvalid, "the address must be an IP address and a port").At("/frontend")
	}
	port, err = strconv.Atoi(text)
	if err != nil {
		return "", 0, errors.Join(schema.Errorf(schema.CodeInvalid, "the port must be a number").At("/frontend"), err)
	}
	if port == 0 {
		port, err = pickPort(ctx, host, picked)
		return host, port, err
	}
	if err := tryPort(ctx, host, port); err != nil {
		return "", 0, schema.Errorf(schema.CodeUnavailable, "the engine cannot listen on %s: %w", address, err).At("/frontend").
			Advise("stop what listens there, or configure another address")
	}
	picked[port] = true
	return host, port, nil
}
