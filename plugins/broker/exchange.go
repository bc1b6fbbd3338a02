package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
)

// exchange sends one request and reads its reply.
type exchange struct {
	broker *Broker
	pool   *pool
	call   Call
	draft  *draft
	scrub  *scrubber
	// certificate is shown in a new connection's handshake; nil for none.
	certificate *tls.Certificate

	announced bool // OnSend has been called
	sent      bool // a byte of the request may have left
}

// run sends the request, at most twice: a second time only when nothing of the
// first left this machine, or when the request changes nothing by definition
// and the connection it went out on had been closed by the server. Anything
// else is the caller's to decide (invariant 7).
func (e *exchange) run(ctx context.Context) (*sdk.Response, bool, error) {
	l, err := e.link(ctx, true)
	if err != nil {
		return nil, false, err
	}
	if e.call.OnSend != nil && !e.announced {
		e.announced = true
		if err := e.call.OnSend(); err != nil {
			e.broker.put(e.pool, l)
			return nil, false, err
		}
	}
	response, err := e.send(ctx, l)
	if err != nil && l.reused && ctx.Err() == nil && (!e.sent || e.draft.safe && closedByPeer(err)) {
		l, dialErr := e.link(ctx, false)
		if dialErr != nil {
			return nil, e.sent, dialErr
		}
		response, err = e.send(ctx, l)
		if err != nil {
			return nil, e.sent, e.failed(ctx, err)
		}
		return e.read(ctx, l, response)
	}
	if err != nil {
		return nil, e.sent, e.failed(ctx, err)
	}
	return e.read(ctx, l, response)
}

// link returns a connection: an idle one where that is harmless, else a new one.
func (e *exchange) link(ctx context.Context, reuse bool) (*link, error) {
	if reuse {
		limit := e.broker.config.IdleTimeout
		if !e.draft.safe && (e.call.IdempotencyHeader == "" || e.call.IdempotencyKey == "") {
			limit = min(limit, freshness)
		}
		if l := e.pool.take(e.broker.now(), limit); l != nil {
			return l, nil
		}
	}
	return e.broker.dial(ctx, e.pool, e.certificate)
}

// send returns the reply's head. When it fails the connection is sealed before
// the count is taken, so that "nothing left" can no longer become untrue.
func (e *exchange) send(ctx context.Context, l *link) (*http.Response, error) {
	before := l.wire.count()
	response, err := l.client.RoundTrip(e.draft.request(ctx))
	if err == nil && response.StatusCode == http.StatusSwitchingProtocols {
		err = errors.Join(errors.New("the server switched to another protocol"), response.Body.Close())
	}
	if err != nil {
		if l.wire.seal() != before {
			e.sent = true
		}
		l.close()
		return nil, err
	}
	e.sent = true
	return response, nil
}

// closedByPeer says whether an error is what a kept connection shows when the
// server had closed it.
func closedByPeer(err error) bool {
	var network *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network) && !network.Timeout() ||
		err.Error() == "http: server closed idle connection"
}

// failed names an error of the exchange. net/http quotes what a server sent in
// some of its errors, so that their text is scrubbed like a reply.
func (e *exchange) failed(ctx context.Context, err error) error {
	origin := e.pool.origin
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return schema.Errorf(schema.CodeTimeout, "no whole reply from %s in time: %w", origin, context.DeadlineExceeded)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return schema.Errorf(schema.CodeUnavailable, "the call to %s was abandoned: %w", origin, context.Canceled)
	}
	text := e.scrub.text(err.Error())
	return schema.Errorf(schema.CodeUnavailable, "no usable reply from %s: %w", origin, errors.New(text[:min(len(text), 300)]))
}

// read reads the reply to its end, decodes and scrubs it.
func (e *exchange) read(ctx context.Context, l *link, response *http.Response) (*sdk.Response, bool, error) {
	body, err := e.body(response)
	if closeErr := response.Body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		l.wire.seal()
		l.close()
		var known *schema.Error
		if errors.As(err, &known) && ctx.Err() == nil {
			return nil, true, known
		}
		return nil, true, e.failed(ctx, err)
	}
	e.broker.put(e.pool, l)
	return &sdk.Response{
		Status: response.StatusCode, Header: e.scrub.header(response.Header), Body: e.scrub.body(body),
	}, true, nil
}
