package api

import (
	"log/slog"
	"net/url"
	"time"

	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/token"
)

// Config is what a Server is made of. Control, Keys, APIKey and Operators are
// required.
type Config struct {
	// Control is the control database; it stays the caller's to close.
	Control *store.Control
	// Keys is the key store, apart from every database.
	Keys *keystore.Store
	// APIKey opens what the key store wrapped for the API.
	APIKey seal.PrivateKey
	// Operators verifies the tokens that the codec endpoint takes.
	Operators token.Verifier
	// Connectors are the manifests that connections and flows may name.
	Connectors []sdk.Manifest
	// Bell tells the host that a cell has work, after it is on disk. It must
	// not block; a lost ring is found by the host's sweep. Nil rings nobody.
	Bell func(org string)
	// EngineUI is the base address of the engine's web interface, for links
	// to runs and as the one browser origin that may use the codec endpoint.
	// Empty: no links, no origin.
	EngineUI string
	// Logger gets a line per request. Nil discards.
	Logger *slog.Logger
	// Clock is time.Now when nil.
	Clock func() time.Time
	// PlaintextCredentials also takes credentials in clear over TLS and seals
	// them on arrival; false takes those sealed by the client only.
	PlaintextCredentials bool
	// ClientCertificates says that the listener asks for client certificates;
	// without it there is no source with the verifier mtls.
	ClientCertificates bool
	// Limits bound what one process takes on; zero fields take their default.
	Limits Limits
}

// Limits bound requests and the memory they may take together (invariant 9).
type Limits struct {
	// Body bounds a request body in bytes; default 1 MiB.
	Body int64
	// Document bounds a flow document in bytes; default 1 MiB.
	Document int64
	// InFlightBytes bounds the bodies of all requests being served; beyond
	// it a request is answered 503 before its body is read. Default 64 MiB.
	InFlightBytes int64
	// InFlight bounds the requests being served; default 4,096.
	InFlight int
	// PerOrganization bounds the requests of one organization being served,
	// so that one cannot take the room of all; beyond it: 429. Default 1,024.
	PerOrganization int
	// CellIdle is how long an unused cell's databases stay open; default 5 min.
	CellIdle time.Duration
	// Refusals is the interval for which refused requests of one kind are
	// counted into one audit entry; default 1 min.
	Refusals time.Duration
	// Fresh is how long a cell's keys and state are believed before they are
	// read again; default 2 s.
	Fresh time.Duration
	// Settle is how long after a key was replaced what was begun under the former
	// one still counts; then it is sealed anew. Default 30 s.
	Settle time.Duration
	// Sweep is how often it is looked whose data is past its retention; default
	// 1 min.
	Sweep time.Duration
	// Clock is the longest pause between two looks for schedules that are due, which
	// another process may have set; default 2 s.
	Clock time.Duration
	// Disk bounds what the databases of one organization take, in bytes; beyond
	// it nothing new is taken in: 507. Zero is no bound.
	Disk int64
}

func (l Limits) withDefaults() Limits {
	if l.Body <= 0 {
		l.Body = 1 << 20
	}
	if l.Document <= 0 {
		l.Document = 1 << 20
	}
	if l.InFlightBytes <= 0 {
		l.InFlightBytes = 64 << 20
	}
	if l.InFlight <= 0 {
		l.InFlight = 4096
	}
	if l.PerOrganization <= 0 {
		l.PerOrganization = 1024
	}
	if l.CellIdle <= 0 {
		l.CellIdle = 5 * time.Minute
	}
	if l.Refusals <= 0 {
		l.Refusals = time.Minute
	}
	if l.Fresh <= 0 {
		l.Fresh = 2 * time.Second
	}
	if l.Settle <= 0 {
		l.Settle = 30 * time.Second
	}
	if l.Sweep <= 0 {
		l.Sweep = time.Minute
	}
	if l.Clock <= 0 {
		l.Clock = 2 * time.Second
	}
	return l
}

func (c Config) checked() (Config, error) {
	if c.Control == nil || c.Keys == nil {
		return c, schema.Errorf(schema.CodeInvalid, "api: Control and Keys are required")
	}
	if c.EngineUI != "" {
		u, err := url.Parse(c.EngineUI)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return c, schema.Errorf(schema.CodeInvalid, "api: EngineUI must be an http or https address")
		}
	}
	if c.Bell == nil {
		c.Bell = func(string) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	c.Limits = c.Limits.withDefaults()
	return c, nil
}
