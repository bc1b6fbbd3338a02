package tokens

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/tenonhq/tenon/plugins/broker"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// maxAnswer bounds the answer of a token endpoint, maxToken a token in it.
const (
	maxAnswer = 256 << 10
	maxToken  = 16 << 10
	minToken  = 4
	maxLife   = 10 * 365 * 24 * time.Hour
)

// answer is what a token endpoint gave.
type answer struct {
	access, refresh []byte
	expires         time.Time
	// refused is the code of an error that no repetition mends.
	refused string
}

// ask asks the token endpoint once. Reached tells whether the request may have
// had an effect there that its answer does not tell of.
func (s *Source) ask(ctx context.Context, g Grant, rotated []byte) (out answer, reached bool, err error) {
	t, err := s.transport(g)
	if err != nil {
		return answer{}, false, err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{
		Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
	token, err := g.exchange(ctx, rotated)
	switch {
	case err == nil:
		out, err = accept(token, s.cfg.Now())
		return out, true, err
	case t.failed != nil:
		// What the client library makes of it quotes the request's address only,
		// but what the server sent may stand in the cause: neither is passed on.
		return answer{}, t.sent, endpoint(schema.CodeOf(t.failed), t.failed)
	}
	var told *oauth2.RetrieveError
	if !errors.As(err, &told) || told.Response == nil {
		return answer{}, t.sent, schema.Errorf(schema.CodeUnavailable, "the token endpoint of connection %s gave no token: %w", g.Connection, ErrEndpoint)
	}
	status := told.Response.StatusCode
	if _, known := reasons[told.ErrorCode]; known && status >= 400 && status < 500 {
		return answer{refused: told.ErrorCode}, false, endpoint(schema.CodeRefused, nil)
	}
	return answer{}, status >= 500, schema.Errorf(schema.CodeUnavailable, "the token endpoint of connection %s answered %d: %w", g.Connection, status, ErrEndpoint)
}

// endpoint is an error of the token endpoint, or of the way there, without its cause.
func endpoint(code schema.Code, cause error) error {
	message := "the token endpoint refused"
	var known *schema.Error
	if errors.As(cause, &known) {
		message = "the token endpoint could not be asked: " + known.Message
	}
	return schema.Errorf(code, "%s: %w", message, ErrEndpoint)
}

// exchange speaks OAuth2.
func (g Grant) exchange(ctx context.Context, rotated []byte) (*oauth2.Token, error) {
	id, secret := string(g.Values["client_id"].Reveal()), string(g.Values["client_secret"].Reveal())
	style := oauth2.AuthStyleInHeader
	if g.How.ClientAuth == seal.ClientAuthBody || g.How.ClientAuth == seal.ClientAuthNone {
		style = oauth2.AuthStyleInParams
	}
	if g.How.Grant == seal.GrantClientCredentials {
		params := url.Values{}
		for name, value := range g.How.Params {
			params.Set(name, value)
		}
		c := clientcredentials.Config{
			ClientID: id, ClientSecret: secret, TokenURL: g.How.TokenURL, Scopes: g.How.Scopes, EndpointParams: params, AuthStyle: style,
		}
		return c.Token(ctx)
	}
	refresh := string(rotated)
	if refresh == "" {
		refresh = string(g.Values["refresh_token"].Reveal())
	}
	c := oauth2.Config{ClientID: id, ClientSecret: secret, Endpoint: oauth2.Endpoint{TokenURL: g.How.TokenURL, AuthStyle: style}}
	return c.TokenSource(ctx, &oauth2.Token{RefreshToken: refresh}).Token()
}

// accept checks what a token endpoint gave: it is another system's word.
func accept(t *oauth2.Token, now time.Time) (answer, error) {
	if t.TokenType != "" && !strings.EqualFold(t.TokenType, "bearer") {
		return answer{}, schema.Errorf(schema.CodeUnavailable, "the token endpoint gave a token of another type than Bearer: %w", ErrEndpoint)
	}
	if len(t.AccessToken) < minToken || len(t.AccessToken) > maxToken || len(t.RefreshToken) > maxToken || !httpguts.ValidHeaderFieldValue(t.AccessToken) {
		return answer{}, schema.Errorf(schema.CodeUnavailable, "the token endpoint gave a token that cannot be sent: %w", ErrEndpoint)
	}
	a := answer{access: []byte(t.AccessToken), refresh: []byte(t.RefreshToken)}
	if !t.Expiry.IsZero() {
		// The library reckoned from the clock of this moment.
		a.expires = now.Add(min(time.Until(t.Expiry).Round(time.Second), maxLife))
	}
	return a, nil
}

// transport carries the requests of one exchange to the broker, which binds them
// to the token endpoint's host.
type transport struct {
	broker Broker
	call   broker.Call
	sent   bool
	failed error
}

func (s *Source) transport(g Grant) (*transport, error) {
	u, err := url.Parse(g.How.TokenURL)
	if err != nil {
		return nil, schema.Errorf(schema.CodeRefused, "the token endpoint of connection %s is not an address", g.Connection)
	}
	return &transport{broker: s.cfg.Broker, call: broker.Call{
		// Network connections to it are its own, too.
		Connection: g.Connection + "/token", Version: g.Version, MaxBody: maxAnswer,
		Use: seal.Use{Hosts: []string{u.Host}, PathPrefix: u.Path, CA: g.How.CA},
	}}, nil
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	defer clear(body)
	resp, sent, err := t.broker.Do(r.Context(), t.call, &sdk.Request{Method: r.Method, URL: r.URL.String(), Header: maps.Clone(r.Header), Body: body})
	t.sent = t.sent || sent
	if err != nil {
		t.failed = err
		return nil, err
	}
	header := make(http.Header, len(resp.Header))
	for name, values := range resp.Header {
		header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	return &http.Response{
		StatusCode: resp.Status, Status: http.StatusText(resp.Status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(resp.Body)), ContentLength: int64(len(resp.Body)), Request: r,
	}, nil
}
