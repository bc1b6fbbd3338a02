package tokens

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tenonhq/tenon/activities/internal/keyring"
	"github.com/tenonhq/tenon/plugins/broker"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	// requestLimit bounds one request to a token endpoint.
	requestLimit = 20 * time.Second
	// patience is how long after its begin a request of another process may
	// still be under way.
	patience = requestLimit + 5*time.Second
	// flightLimit bounds a refresh with all its waiting.
	flightLimit = 60 * time.Second
	// lookAgain is the pause between two looks at another process's refresh.
	lookAgain = 200 * time.Millisecond
	// last is how much of its life a token must have left to be sent.
	last = 5 * time.Second
	// early is the most of its life a token has left when it is refreshed.
	early = 2 * time.Minute
	// repose is how long a refusal of the provider is taken as its answer.
	repose = time.Minute
)

// ErrEndpoint marks errors that are the token endpoint's: another system failed,
// not this one.
var ErrEndpoint = errors.New("the token endpoint failed")

// Broker sends requests; [broker.Broker.Do] is one.
type Broker interface {
	Do(ctx context.Context, call broker.Call, request *sdk.Request) (*sdk.Response, bool, error)
}

// Rows are where tokens are kept; [*store.Work] has them.
type Rows interface {
	GetToken(ctx context.Context, connection string, version int) (store.Token, error)
	BeginRefresh(ctx context.Context, connection string, version int, generation int64, refresher string, patience time.Duration) error
	PutToken(ctx context.Context, k store.Token, a store.AuditDraft) error
	EndRefresh(ctx context.Context, connection string, version int, refresher string, reached bool) error
}

// Config is what a source works with. All fields are required.
type Config struct {
	// Owner names this process; no two that live at the same time share it.
	Owner  string
	Rows   Rows
	Keys   *keyring.Keyring
	Broker Broker
	Now    func() time.Time
}

// Source has the tokens of one cell. It is safe for concurrent use.
type Source struct {
	cfg Config

	mu      sync.Mutex
	flights map[key]*flight
	// unsaved are answers whose commit failed, sealed. They are committed before
	// anything else is asked for: the provider will not give them again.
	unsaved map[key]store.Token
}

type key struct {
	connection string
	version    int
}

// flight is a refresh that is under way.
type flight struct {
	done chan struct{}
	err  error // valid once done is closed
}

// New returns a source.
func New(cfg Config) *Source {
	return &Source{cfg: cfg, flights: map[key]*flight{}, unsaved: map[key]store.Token{}}
}

// Grant is a credential of the scheme oauth2, opened.
type Grant struct {
	Connection, Namespace string
	Version               int
	How                   seal.OAuth2
	// Values are client_id, client_secret and refresh_token, as far as How asks
	// for them. They are not kept.
	Values map[string]schema.Secret
}

// Access is a token that can be sent.
type Access struct {
	Token schema.Secret
	// Generation tells it from the ones before and after.
	Generation int64
	IssuedAt   time.Time
}

// Access returns the access token of a grant, fetching or refreshing it first
// where that is due. Stale is the generation of a token that the system would
// not take any more, 0 for none: the answer is a later one.
//
// Errors are *schema.Error: CodeRefused when the provider refuses the grant, so
// that the credential must be entered again; else what kept the cell from
// asking. Those that are the token endpoint's wrap [ErrEndpoint]. None quotes a
// value or the provider's own words.
func (s *Source) Access(ctx context.Context, g Grant, stale int64) (Access, error) {
	for asked := 0; ; asked++ {
		row, kept, err := s.load(ctx, g)
		if err != nil {
			return Access{}, err
		}
		now := s.cfg.Now()
		usable := kept.usable(now) && (stale == 0 || row.Generation > stale)
		switch {
		case usable && !kept.due(now), asked > 0 && len(kept.Access) > 0 && row.Generation > stale:
			// One that was fetched right now is sent however short its life is.
			return kept.access(row), nil
		case asked > 1:
			kept.wipe()
			return Access{}, schema.Errorf(schema.CodeUnavailable, "no access token could be had: another process has changed it meanwhile")
		case kept.refusedSince(now):
			kept.wipe()
			return Access{}, kept.Refused.error(g.Connection)
		}
		f, mine := s.fly(ctx, g, row)
		if usable && !mine {
			return kept.access(row), nil // Another refreshes it; it lasts until then.
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			kept.wipe()
			return Access{}, schema.Errorf(schema.CodeTimeout, "no access token in time: %w", ctx.Err())
		}
		switch {
		case f.err != nil && usable && schema.CodeOf(f.err) != schema.CodeRefused:
			return kept.access(row), nil // It still lasts; the next call tries again.
		case f.err != nil:
			kept.wipe()
			return Access{}, f.err
		}
		kept.wipe()
	}
}

// load reads what is kept of the grant's tokens.
func (s *Source) load(ctx context.Context, g Grant) (store.Token, kept, error) {
	row, err := s.cfg.Rows.GetToken(ctx, g.Connection, g.Version)
	switch {
	case schema.CodeOf(err) == schema.CodeNotFound:
		return store.Token{Connection: g.Connection, Version: g.Version}, kept{}, nil
	case err != nil:
		return store.Token{}, kept{}, err
	case len(row.Sealed) == 0:
		return row, kept{}, nil
	}
	plain, err := s.cfg.Keys.OpenToken(g.Connection, g.Version, row.Sealed)
	if err != nil {
		return store.Token{}, kept{}, err
	}
	defer clear(plain)
	k, err := parse(plain)
	return row, k, err
}

// fly joins the refresh of the grant that is under way, or begins one.
func (s *Source) fly(ctx context.Context, g Grant, row store.Token) (f *flight, mine bool) {
	k := key{g.Connection, g.Version}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, found := s.flights[k]; found {
		return f, false
	}
	f = &flight{done: make(chan struct{})}
	s.flights[k] = f
	// The caller wipes its values when it leaves; the refresh, once begun, goes
	// on to its end: what the provider answers must be kept.
	own := g
	own.Values = make(map[string]schema.Secret, len(g.Values))
	for name, value := range g.Values {
		own.Values[name] = schema.NewSecret(append([]byte(nil), value.Reveal()...))
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightLimit)
		defer cancel()
		err := s.refresh(ctx, own, row.Generation)
		for _, value := range own.Values {
			value.Wipe()
		}
		s.mu.Lock()
		delete(s.flights, k)
		s.mu.Unlock()
		f.err = err
		close(f.done)
	}()
	return f, true
}
