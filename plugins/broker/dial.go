package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/tenonhq/tenon/schema"
)

const maxAddresses = 4

func systemResolver() Resolver { return &net.Resolver{PreferGo: true} }

type connKey struct{}

// newTransport returns the HTTP machinery. It dials nothing, pools nothing,
// follows nothing and reads no proxy settings: the broker hands it connections
// one by one, through the context.
func newTransport(maxHeader int64) *http.Transport {
	handed := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, found := ctx.Value(connKey{}).(net.Conn)
		if !found {
			return nil, errors.New("no connection was handed over")
		}
		return conn, nil
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext: handed, DialTLSContext: handed, Protocols: protocols,
		DisableCompression: true, MaxResponseHeaderBytes: maxHeader, ForceAttemptHTTP2: false,
	}
}

// link is one network connection; it carries one request at a time.
type link struct {
	client *http.ClientConn
	wire   *wire
	reused bool
	idle   time.Time // since when, while in a pool
}

func (l *link) close() {
	_ = l.client.Close() // a connection that will not close is gone all the same
}

// dial opens a connection to the pool's origin. Nothing of any request is sent
// by it. The address that passes the check is the address connected to: there
// is no second look-up that could answer otherwise.
func (b *Broker) dial(ctx context.Context, p *pool, certificate *tls.Certificate) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.DialTimeout)
	defer cancel()
	addresses, err := b.resolve(ctx, p.origin)
	if err != nil {
		return nil, err
	}
	admitted := addresses[:0]
	for _, address := range addresses {
		if p.reach.admits(address) {
			admitted = append(admitted, address)
		}
	}
	if len(admitted) == 0 {
		return nil, schema.Errorf(schema.CodeRefused, "the address of %s lies in a network that may not be called", p.origin).At("/url").
			Advise("Addresses of private networks can be called only where the connection lists the host.")
	}
	admitted = admitted[:min(len(admitted), maxAddresses)]
	share := b.config.DialTimeout / time.Duration(len(admitted)) // a silent address leaves time for the next
	var failure error
	for _, address := range admitted {
		l, err := b.connect(ctx, p, share, netip.AddrPortFrom(address.Unmap(), p.origin.port), certificate)
		if err == nil {
			return l, nil
		}
		if failure = errors.Join(failure, err); ctx.Err() != nil {
			break
		}
	}
	return nil, failedDial(ctx, p.origin, failure)
}

func (b *Broker) resolve(ctx context.Context, o origin) ([]netip.Addr, error) {
	if o.address.IsValid() {
		return []netip.Addr{o.address}, nil
	}
	addresses, err := b.config.Resolver.LookupNetIP(ctx, "ip", o.host)
	if err != nil || len(addresses) == 0 {
		if ctx.Err() != nil {
			return nil, failedDial(ctx, o, err)
		}
		return nil, schema.Errorf(schema.CodeUnavailable, "the name of %s could not be resolved: %w", o, err)
	}
	return slices.Clone(addresses), nil
}

func (b *Broker) connect(ctx context.Context, p *pool, limit time.Duration, address netip.AddrPort, certificate *tls.Certificate) (*link, error) {
	dialer := net.Dialer{
		Timeout: limit, KeepAlive: 15 * time.Second,
		// The kernel is asked to connect to nothing but what was admitted.
		ControlContext: func(_ context.Context, _, actual string, _ syscall.RawConn) error {
			if actual != address.String() {
				return errors.New("the address changed on its way to the network")
			}
			return nil
		},
	}
	raw, err := dialer.DialContext(ctx, "tcp", address.String())
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: raw}
	var conn net.Conn = w
	if p.tls != nil {
		held := holding{certificate: certificate}
		secured := tls.Client(w, held.config(p.tls))
		err := secured.HandshakeContext(ctx)
		held.drop()
		if err != nil {
			return nil, errors.Join(err, raw.Close())
		}
		conn = secured
	}
	client, err := b.transport.NewClientConn(context.WithValue(ctx, connKey{}, conn), p.scheme, p.origin.String())
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return &link{client: client, wire: w}, nil
}

// failedDial names what failed. The cause concerns names, addresses and
// certificates only: nothing of the request was involved yet.
func failedDial(ctx context.Context, o origin, cause error) error {
	var network net.Error
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.As(cause, &network) && network.Timeout() {
		return schema.Errorf(schema.CodeTimeout, "no connection to %s in time: %w", o, cause)
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(cause, &certificate) {
		return schema.Errorf(schema.CodeUnavailable, "the certificate of %s could not be verified: %w", o, cause).
			Advise("If the server's authority is a private one, save it with the connection's credential.")
	}
	return schema.Errorf(schema.CodeUnavailable, "no connection to %s: %w", o, cause)
}
