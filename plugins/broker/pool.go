package broker

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"sync"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// freshness is how long a connection may have been idle to carry a request
// that changes something and cannot be repeated by its idempotency key. A server that closes it
// just then would leave the outcome unknown for no good reason.
const freshness = time.Second

// poolKey is all that two calls must agree on to share a connection. Neither
// two connections nor two versions of one's credential ever do.
type poolKey struct {
	connection string
	version    int
	use        [sha256.Size]byte
	scheme     string
	origin     origin
}

// pool keeps idle connections to one origin on behalf of one connection.
type pool struct {
	scheme string
	origin origin
	reach  reach
	tls    *tls.Config // nil for plain HTTP
	used   time.Time   // under the broker's lock

	mu   sync.Mutex
	keep bool    // false: a connection is closed after its request
	idle []*link // the most recently used last
}

func (b *Broker) pool(call Call, use seal.Use, t target, r route) (*pool, error) {
	if call.Connection == "" {
		return newPool(use, t, r)
	}
	encoded, err := json.Marshal(use)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInternal, "the connection's use cannot be read: %w", err)
	}
	key := poolKey{
		connection: call.Connection, version: call.Version, use: sha256.Sum256(encoded), scheme: t.scheme, origin: t.origin,
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p, found := b.pools[key]
	if !found {
		if p, err = newPool(use, t, r); err != nil {
			return nil, err
		}
		p.keep = !b.closed
		if p.keep {
			b.pools[key] = p
			b.arm()
		}
	}
	p.used = b.now()
	return p, nil
}

func newPool(use seal.Use, t target, r route) (*pool, error) {
	p := &pool{scheme: t.scheme, origin: t.origin, reach: r.reach}
	if t.scheme != "https" {
		return p, nil
	}
	p.tls = &tls.Config{
		ServerName: t.origin.host, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}
	if use.CA != "" {
		// A private authority replaces the public ones, for this connection only.
		p.tls.RootCAs = x509.NewCertPool()
		if !p.tls.RootCAs.AppendCertsFromPEM([]byte(use.CA)) {
			return nil, schema.Errorf(schema.CodeRefused, "the connection's private certificate authority holds no certificate")
		}
	}
	return p, nil
}

// take returns an idle connection that is still usable, or nil. Those idle for
// longer than limit are closed.
func (p *pool) take(now time.Time, limit time.Duration) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		l := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if now.Sub(l.idle) <= limit && l.client.Err() == nil && l.client.Available() == 1 {
			l.reused = true
			return l
		}
		l.close()
	}
	return nil
}

// put keeps a connection whose reply was read to its end.
func (b *Broker) put(p *pool, l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.keep || len(p.idle) >= b.config.MaxIdle || l.client.Err() != nil || l.client.Available() != 1 {
		l.close()
		return
	}
	l.idle = b.now()
	p.idle = append(p.idle, l)
}

// drop closes the idle connections that old says so of, and reports how many stay.
func (p *pool) drop(old func(*link) bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.idle[:0]
	for _, l := range p.idle {
		if old(l) {
			l.close()
		} else {
			kept = append(kept, l)
		}
	}
	clear(p.idle[len(kept):])
	p.idle = kept
	return len(kept)
}

// forget closes what is idle and sees to it that nothing is kept again: a call
// that is still under way would keep its connection where nobody looks for it.
func (p *pool) forget() {
	p.mu.Lock()
	p.keep = false
	p.mu.Unlock()
	p.drop(func(*link) bool { return true })
}

// arm has sweep run once the idle time has passed; b.mu is held.
func (b *Broker) arm() {
	if b.timer == nil && !b.closed {
		b.timer = time.AfterFunc(b.config.IdleTimeout, b.sweep)
	}
}

// sweep closes what has been idle for too long and forgets pools nobody uses.
func (b *Broker) sweep() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timer = nil
	now := b.now()
	for key, p := range b.pools {
		stay := p.drop(func(l *link) bool { return now.Sub(l.idle) >= b.config.IdleTimeout })
		if stay == 0 && now.Sub(p.used) >= b.config.IdleTimeout {
			p.forget()
			delete(b.pools, key)
		}
	}
	if len(b.pools) > 0 {
		b.arm()
	}
}
