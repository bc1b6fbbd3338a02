package broker

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
)

const (
	maxHeaderValues = 200
	maxHeaderName   = 256
	idempotencyKey  = "Idempotency-Key"
)

// draft is a request that was checked as far as it can be without a credential.
type draft struct {
	method  string
	safe    bool // changes nothing by definition; may be sent again
	target  target
	header  http.Header
	query   string
	body    []byte
	maxBody int64
}

// draft checks a connector's request. Nothing of it is trusted (invariant 4).
func (b *Broker) draft(call Call, request *sdk.Request) (*draft, error) {
	if request == nil {
		return nil, schema.Errorf(schema.CodeInvalid, "there is no request")
	}
	d := &draft{maxBody: or(call.MaxBody, b.config.MaxBody), body: request.Body}
	var err error
	if d.method, err = checkMethod(request.Method); err != nil {
		return nil, err
	}
	d.safe = d.method == http.MethodGet || d.method == http.MethodHead || d.method == http.MethodOptions
	if d.target, err = parseTarget(request.URL); err != nil {
		return nil, err
	}
	d.query = d.target.query
	if int64(len(d.body)) > d.maxBody {
		return nil, schema.Errorf(schema.CodeTooLarge, "the request's body is larger than %d bytes", d.maxBody).At("/body")
	}
	if d.header, err = d.checkHeader(request.Header, b.config.MaxHeader); err != nil {
		return nil, err
	}
	if d.header.Get("User-Agent") == "" {
		d.header.Set("User-Agent", b.config.UserAgent)
	}
	// Only what the broker can decode is asked for: the rest could not be scrubbed.
	d.header.Set("Accept-Encoding", "gzip")
	if call.IdempotencyKey != "" && !d.safe {
		// A header the connection names is the broker's alone; the usual one is
		// added where the connector set none.
		if call.IdempotencyHeader == "" && d.header.Get(idempotencyKey) != "" {
			return d, nil
		}
		if err := d.put(or(call.IdempotencyHeader, idempotencyKey), call.IdempotencyKey); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func checkMethod(method string) (string, error) {
	if method == "" {
		return http.MethodGet, nil
	}
	if !httpguts.ValidHeaderFieldName(method) || len(method) > 32 {
		return "", schema.Errorf(schema.CodeInvalid, "the request's method is not a token").At("/method")
	}
	switch upper := strings.ToUpper(method); upper {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return upper, nil
	case http.MethodConnect, http.MethodTrace, "TRACK", "PRI":
		// TRACE exists to echo what was sent, CONNECT to tunnel.
		return "", schema.Errorf(schema.CodeRefused, "the method %s is not allowed", upper).At("/method")
	default:
		return method, nil
	}
}

// refusedHeaders are the transport's own; a connector that sets one could
// change where a message ends or goes, or what of it comes back.
var refusedHeaders = []string{
	"Connection", "Content-Length", "Expect", "Host", "Http2-Settings", "Keep-Alive", "Proxy-Authenticate",
	"Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// overrideHeaders make some servers treat a GET as something else; a call that
// was taken for a read would have an effect.
var overrideHeaders = []string{"X-Http-Method", "X-Http-Method-Override", "X-Method-Override"}

func (d *draft) checkHeader(header map[string][]string, limit int64) (http.Header, error) {
	out := make(http.Header, len(header)+4)
	var size, count int64
	for name, values := range header {
		if !httpguts.ValidHeaderFieldName(name) || len(name) > maxHeaderName {
			return nil, schema.Errorf(schema.CodeInvalid, "a header's name is not a token of at most %d bytes", maxHeaderName).At("/header")
		}
		canonical := likened(name)
		pointer := headerPointer(name)
		if slices.Contains(refusedHeaders, canonical) || strings.HasPrefix(name, ":") {
			return nil, schema.Errorf(schema.CodeRefused, "the header %s is set by the platform", canonical).At(pointer)
		}
		if d.safe && slices.Contains(overrideHeaders, canonical) {
			return nil, schema.Errorf(schema.CodeRefused, "the header %s is not allowed with %s", canonical, d.method).At(pointer)
		}
		if canonical == "Accept-Encoding" {
			continue
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return nil, schema.Errorf(schema.CodeInvalid, "the header's value holds a line break or another control character").At(pointer)
			}
			size += int64(len(name) + len(value) + 4)
			count++
		}
		key := textproto.CanonicalMIMEHeaderKey(name)
		out[key] = append(out[key], values...)
	}
	if size > limit || count > maxHeaderValues {
		return nil, schema.Errorf(schema.CodeTooLarge, "the request's headers are over %d bytes or %d values", limit, maxHeaderValues).At("/header")
	}
	return out, nil
}

// headerPointer is a JSON Pointer: a tilde, which a name may hold, is escaped.
func headerPointer(name string) string { return "/header/" + strings.ReplaceAll(name, "~", "~0") }

// likened is the form in which header names are compared: some servers
// take an underscore for a dash.
func likened(name string) string {
	return textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
}

// put adds a header of the broker's own; the connector must not have set it.
func (d *draft) put(name, value string) error {
	if !httpguts.ValidHeaderFieldName(name) || slices.Contains(refusedHeaders, likened(name)) {
		return schema.Errorf(schema.CodeRefused, "the header that the connection names for the platform to set cannot be used")
	}
	for existing := range d.header {
		if likened(existing) == likened(name) && likened(name) != "User-Agent" {
			return schema.Errorf(schema.CodeRefused, "the header %s is set by the platform for this connection", likened(name)).
				At(headerPointer(existing)).Advise("Leave the header out of the request.")
		}
	}
	if !httpguts.ValidHeaderFieldValue(value) {
		return schema.Errorf(schema.CodeRefused, "the value for the header %s holds a line break or another character that a header cannot carry", likened(name))
	}
	d.header.Set(name, value)
	return nil
}

// request builds what net/http writes. It is built anew for every attempt:
// nothing in it can be rewound and sent again by anyone else.
func (d *draft) request(ctx context.Context) *http.Request {
	r := &http.Request{
		Method: d.method, URL: d.target.url(d.query), Host: d.target.hostHeader(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: d.header, Body: http.NoBody,
	}
	if len(d.body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(d.body))
		r.ContentLength = int64(len(d.body))
	}
	return r.WithContext(ctx)
}
