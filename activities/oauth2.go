package activities

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/tenonhq/tenon/activities/internal/tokens"
	"github.com/tenonhq/tenon/plugins/broker"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// freshToken is the age below which an access token that is not taken is not
// replaced: another one would be taken as little.
const freshToken = 30 * time.Second

// authorize adds an access token to an opened credential of the scheme oauth2. A
// provider that refuses the grant suspends the connection: until the credential
// is entered again every call would fail, and some providers lock a client that
// keeps asking. A test call suspends nothing: what it tests is not used yet.
func (a *attempt) authorize(ctx context.Context, version int, c *broker.Credential) error {
	if c.Use.Inject.Scheme != seal.SchemeOAuth2 {
		return nil
	}
	conn := a.conn.row
	access, err := a.e.tokens.Access(ctx, tokens.Grant{
		Connection: conn.ID, Namespace: conn.Namespace, Version: version, How: *c.Use.Inject.OAuth2, Values: c.Values,
	}, a.stale)
	if err != nil {
		c.Wipe()
		var known *schema.Error
		if errors.As(err, &known) && known.Code == schema.CodeRefused && !errors.Is(err, tokens.ErrEndpoint) && a.version == 0 {
			return a.e.custody.exhausted(ctx, conn, version, known.Message)
		}
		return err
	}
	c.Values[broker.AccessToken] = access.Token
	a.token = tokens.Access{Generation: access.Generation, IssuedAt: access.IssuedAt}
	return nil
}

// send sends the request, and once more when the system does not take an access
// token that was thought to last: 401 says that nothing was done (RFC 9110,
// 15.5.2), and the same request with the same key goes out with the next token.
func (a *attempt) send(ctx context.Context, call broker.Call, r *sdk.Request) (*sdk.Response, bool, error) {
	resp, sent, err := a.e.cfg.Broker.Do(ctx, call, r)
	if err != nil || resp.Status != http.StatusUnauthorized || a.token.Generation <= a.stale || a.e.now().Sub(a.token.IssuedAt) < freshToken {
		return resp, sent, err
	}
	a.stale = a.token.Generation
	return a.e.cfg.Broker.Do(ctx, call, r)
}

// dropTokens removes the tokens of versions that may not be used any more.
func (e *Executor) dropTokens(ctx context.Context) error {
	rows, err := e.cfg.Cell.Work().ListTokens(ctx)
	if err != nil {
		return err
	}
	for _, row := range rows {
		k, err := e.custody.get(ctx, row.Connection)
		if err != nil {
			return err
		}
		if row.Version >= k.Floor {
			continue
		}
		err = e.cfg.Cell.Work().DropTokens(ctx, row.Connection, k.Floor, store.AuditDraft{
			Actor: "system", Action: "credential.tokens_dropped", Target: row.Connection,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
