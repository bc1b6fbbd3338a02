package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/api/internal/verify"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// Accepted says that an event is on disk and will be processed (invariant 6).
type Accepted struct {
	Event string `json:"event" doc:"Id of the event; the same again for a message that came before."`
}

// hook is a request to a source, taken whole: what is verified is the bytes.
type hook struct {
	Source  string `path:"source" maxLength:"64"`
	RawBody []byte `contentType:"*/*"`
	header  http.Header
}

// Resolve implements huma.Resolver: it keeps the headers for the verifier.
func (h *hook) Resolve(hc huma.Context) []error {
	h.header = http.Header{}
	hc.EachHeader(h.header.Add)
	return nil
}

func (s *Server) registerHooks() {
	body := &huma.RequestBody{}
	handle(s, huma.Operation{
		OperationID: "receive-webhook", Method: http.MethodPost, Path: "/v1/hooks/{source}", Tags: []string{"Webhooks"},
		Summary:     "Receive a webhook",
		Description: "Admitted by the signature that the source's verifier checks over the raw body, never by a key.",
		Errors: []int{
			http.StatusUnauthorized, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests, http.StatusServiceUnavailable,
		},
		DefaultStatus: http.StatusAccepted, SkipValidateBody: true, SkipValidateParams: true, RequestBody: body,
	}, access{scope: scopePublic}, s.receive)
	// An empty body is for the verifier to refuse, not for the framework.
	body.Required = false
}

// receive verifies before it writes anything (invariant 5).
func (s *Server) receive(ctx context.Context, c *caller, in *hook) (*Output[Accepted], error) {
	org, err := s.routes.find(ctx, in.Source)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return nil, verify.Nobody(in.header, in.RawBody, s.now())
	}
	if err != nil {
		return nil, err
	}
	leave, err := s.admission.enter(org, 0)
	if err != nil {
		return nil, err
	}
	defer leave()
	opened, release, err := s.cells.acquire(ctx, org)
	if err != nil {
		return nil, concealed(err, in, s)
	}
	defer release()
	source, err := opened.Door().GetSource(ctx, in.Source)
	if err == nil && source.State != rowActive {
		err = schema.Errorf(schema.CodeNotFound, "there is no such source")
	}
	if err != nil {
		return nil, concealed(err, in, s)
	}
	var how config.Source
	if err := opened.openJSON(place.Source(org, source.ID), source.ConfigSealed, &how); err != nil {
		return nil, err
	}
	message, err := verify.Verify(how, in.header, in.RawBody, s.now())
	if err != nil {
		return nil, err
	}
	// From here on the caller is known: the log may say whose request it was.
	c.actor, c.org, c.cell, c.namespace.ID = source.ID, org, opened, source.Namespace
	return s.keep(ctx, c, source, message, in)
}

// concealed answers that the source is not there as if nothing had verified:
// who holds no secret learns nothing of which sources exist.
func concealed(err error, in *hook, s *Server) error {
	switch schema.CodeOf(err) {
	case schema.CodeNotFound, schema.CodeForbidden:
		return verify.Nobody(in.header, in.RawBody, s.now())
	default:
		return err
	}
}

// keep writes the event to the inbox, once for every message.
func (s *Server) keep(ctx context.Context, c *caller, source store.Source, m verify.Message, in *hook) (*Output[Accepted], error) {
	flow, version, err := c.latest(ctx, source.Flow)
	if err != nil {
		return nil, err
	}
	payload := config.Event{Headers: kept(in.header), ContentType: in.header.Get("Content-Type"), Source: source.ID}
	payload.Body, payload.Encoding = asJSON(in.RawBody)
	id, _, err := s.accept(ctx, c, inbound{
		kind: config.KindWebhook, source: source.ID, dedupe: m.ID, flow: flow, version: version, payload: payload,
	})
	if err != nil {
		return nil, err
	}
	return answer(Accepted{Event: id}), nil
}

// asJSON makes a JSON value of a body: itself, its text, or its base64.
func asJSON(body []byte) (value json.RawMessage, encoding string) {
	if json.Valid(body) {
		return json.RawMessage(body), ""
	}
	text := string(body)
	if !utf8.Valid(body) {
		text, encoding = base64.StdEncoding.EncodeToString(body), "base64"
	}
	value, err := json.Marshal(text)
	if err != nil {
		// A string always has a JSON form.
		return json.RawMessage("null"), ""
	}
	return value, encoding
}

// maxHeaders bounds how many headers of a webhook are kept.
const maxHeaders = 64

// kept are the headers of a webhook that its flow may see: none that proves
// or authorizes anything.
func kept(h http.Header) map[string]string {
	out := map[string]string{}
	for name, values := range h {
		name = strings.ToLower(name)
		switch {
		case len(out) == maxHeaders, len(values) == 0:
		case strings.Contains(name, "signature"), strings.Contains(name, "authorization"),
			strings.Contains(name, "cookie"), strings.Contains(name, "token"), strings.Contains(name, "secret"),
			strings.Contains(name, "key"), strings.Contains(name, "hmac"):
		default:
			out[name] = strings.Join(values, ", ")
		}
	}
	return out
}

// dedupe is the inbox's form of a sender's id: of one length, and telling
// nothing of what the sender put into it.
func dedupe(source, id string) string {
	h := sha256.New()
	for _, part := range []string{"tenon-dedupe-v1", source, id} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))
}

// maxRoutes bounds the cache of routes.
const maxRoutes = 65536

// routes finds the organization of a source. A route never changes; a deleted
// source is refused by its row, so that what is cached here admits nobody.
type routes struct {
	control *store.Control

	mu    sync.RWMutex
	found map[string]string
}

func newRoutes(c Config) *routes { return &routes{control: c.Control, found: map[string]string{}} }

func (r *routes) find(ctx context.Context, source string) (string, error) {
	if err := schema.CheckID(schema.PrefixSource, source); err != nil {
		return "", schema.Errorf(schema.CodeNotFound, "there is no such source")
	}
	r.mu.RLock()
	org, ok := r.found[source]
	r.mu.RUnlock()
	if ok {
		return org, nil
	}
	route, err := r.control.GetRoute(ctx, source)
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.found) >= maxRoutes {
		clear(r.found)
	}
	r.found[source] = route.Organization
	return route.Organization, nil
}
