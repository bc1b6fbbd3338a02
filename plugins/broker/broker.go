package broker

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// Opener opens the credential of one connection. It is called once per
// request, inside the broker, after everything that needs no credential was
// checked. An error of it ends the call; nothing is sent.
type Opener interface {
	Open(ctx context.Context) (*Credential, error)
}

// Credential is an opened credential: what it may be used for and its values,
// those of [seal.ValueNames]; for the scheme oauth2 [AccessToken] too. The broker
// wipes it when the call is over.
type Credential struct {
	Use    seal.Use
	Values map[string]schema.Secret
}

// Wipe overwrites the values.
func (c *Credential) Wipe() {
	if c == nil {
		return
	}
	for _, value := range c.Values {
		value.Wipe()
	}
}

// Resolver finds the addresses of a host; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config of a Broker; the zero value is usable.
type Config struct {
	// Resolver defaults to the system's.
	Resolver Resolver
	// Timeout bounds a whole call, reply included; default 60 s. The caller's
	// context bounds it too.
	Timeout time.Duration
	// DialTimeout bounds name resolution, connecting and the TLS handshake
	// together; default 10 s.
	DialTimeout time.Duration
	// IdleTimeout is how long an unused connection is kept; default 30 s.
	IdleTimeout time.Duration
	// MaxIdle is how many unused connections are kept per connection and
	// host; default 16.
	MaxIdle int
	// MaxBody bounds the body of a request and of a reply (decompressed)
	// where the call sets no bound; default 8 MiB.
	MaxBody int64
	// MaxHeader bounds the headers of a request and of a reply; default 64 KiB.
	MaxHeader int64
	// UserAgent is sent when the connector sets none; default "Tenon".
	UserAgent string
}

// Call says on whose behalf and under which rules a request is sent.
type Call struct {
	// Connection and Version name the connection and its credential's version.
	// Network connections are reused only between calls that agree on both;
	// without a Connection none is reused.
	Connection string
	Version    int
	// Opener supplies the credential; nil for a connection that has none,
	// which Use governs then.
	Opener Opener
	// Use is the policy without a credential. Empty Hosts: any public host,
	// https only.
	Use seal.Use
	// IdempotencyHeader carries IdempotencyKey on every request but GET, HEAD
	// and OPTIONS. Empty: the target is not known to honour keys; the key
	// goes along as Idempotency-Key where the connector sets none itself.
	IdempotencyHeader string
	IdempotencyKey    string
	// MaxBody bounds the request's and the reply's body; 0: the broker's bound.
	MaxBody int64
	// OnSend is called at most once, right before the first byte can leave;
	// when it fails nothing is sent and its error is returned.
	OnSend func() error
}

// Broker sends requests. It is safe for concurrent use and belongs to one cell.
type Broker struct {
	config    Config
	transport *http.Transport
	now       func() time.Time

	mu     sync.Mutex
	pools  map[poolKey]*pool
	timer  *time.Timer
	closed bool
}

// New returns a Broker; Close it.
func New(config Config) *Broker {
	config = config.withDefaults()
	return &Broker{
		config: config, transport: newTransport(config.MaxHeader), now: time.Now, pools: map[poolKey]*pool{},
	}
}

// Do sends one request and returns its reply, whatever its status; redirects
// are not followed. sent is false only when it is certain that no byte of the
// request left or will leave this machine; when in doubt it is true.
//
// Errors are *schema.Error: refused or invalid (the request may not leave),
// too_large, unavailable (no usable reply), timeout; or those of Opener and
// OnSend as they are. None quotes the URL's query or a credential.
func (b *Broker) Do(ctx context.Context, call Call, request *sdk.Request) (response *sdk.Response, sent bool, err error) {
	draft, err := b.draft(call, request)
	if err != nil {
		return nil, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, b.config.Timeout)
	defer cancel()

	use, credentialed := call.Use, call.Opener != nil
	values := map[string]schema.Secret(nil)
	if credentialed {
		credential, err := call.Opener.Open(ctx)
		if err != nil {
			return nil, false, err
		}
		if credential == nil {
			return nil, false, schema.Errorf(schema.CodeRefused, "the connection's credential could not be opened")
		}
		defer credential.Wipe()
		use, values = credential.Use, credential.Values
	}
	route, err := bind(draft.target, use, credentialed)
	if err != nil {
		return nil, false, err
	}
	// What was checked is what is sent.
	draft.target.path = route.path
	scrub, added := newScrubber(nil), injected{}
	if credentialed {
		// Invariant 1: the binding has been checked; only now is the secret
		// put beside the request.
		if added, err = draft.inject(use.Inject, values, b.now()); err != nil {
			return nil, false, err
		}
		scrub = newScrubber(added.secrets)
	}
	pool, err := b.pool(call, use, draft.target, route)
	if err != nil {
		return nil, false, err
	}
	exchange := exchange{broker: b, pool: pool, call: call, draft: draft, scrub: scrub, certificate: added.certificate}
	return exchange.run(ctx)
}

// Close closes what is idle; what is under way ends by itself and is not kept.
func (b *Broker) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.timer != nil {
		b.timer.Stop()
	}
	for key, pool := range b.pools {
		pool.forget()
		delete(b.pools, key)
	}
}

func (c Config) withDefaults() Config {
	if c.Resolver == nil {
		c.Resolver = systemResolver()
	}
	c.Timeout = or(c.Timeout, time.Minute)
	c.DialTimeout = or(c.DialTimeout, 10*time.Second)
	c.IdleTimeout = or(c.IdleTimeout, 30*time.Second)
	c.MaxIdle = or(c.MaxIdle, 16)
	c.MaxBody = or(c.MaxBody, 8<<20)
	c.MaxHeader = or(c.MaxHeader, 64<<10)
	c.UserAgent = or(c.UserAgent, "Tenon")
	return c
}

func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}
