package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

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
	handshake
}

// handshake is what a vendor asks of a source before it sends anything.
type handshake struct {
	request verify.Request
}

// Resolve implements huma.Resolver: it keeps what the verifier looks at. A
// client's certificate counts where TLS ends here, and never from a header.
func (h *handshake) Resolve(hc huma.Context) []error {
	r, _ := humago.Unwrap(hc)
	h.request = verify.Request{Method: r.Method, Header: r.Header, Query: r.URL.RawQuery}
	if r.TLS != nil {
		h.request.Peer = r.TLS.PeerCertificates
	}
	return nil
}

// received answers a webhook: with its event, or what a handshake asks for.
type received struct {
	Status      int
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (s *Server) registerHooks() {
	body := &huma.RequestBody{}
	accepted := s.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Accepted](), true, "Accepted")
	answers := func() *huma.Response {
		return &huma.Response{
			Description: "What the vendor asked to hear. It is no event.",
			Content:     map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}
	}
	refusals := []int{
		http.StatusUnauthorized, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests, http.StatusServiceUnavailable,
	}
	handle(s, huma.Operation{
		OperationID: "receive-webhook", Method: http.MethodPost, Path: "/v1/hooks/{source}", Tags: []string{"Webhooks"},
		Summary:     "Receive a webhook",
		Description: "Admitted by what the source's verifier checks, never by a key. Handshakes of Slack and Microsoft are answered.",
		Errors:      append(refusals[:len(refusals):len(refusals)], http.StatusInsufficientStorage), DefaultStatus: http.StatusAccepted,
		Responses: map[string]*huma.Response{
			"202": {Description: "The event is on disk.", Content: map[string]*huma.MediaType{"application/json": {Schema: accepted}}},
			"200": answers(),
		},
		SkipValidateBody: true, SkipValidateParams: true, RequestBody: body,
	}, access{scope: scopePublic}, func(ctx context.Context, c *caller, in *hook) (*received, error) {
		in.request.Body = in.RawBody
		return s.receive(ctx, c, in.Source, in.request)
	})
	// An empty body is for the verifier to refuse, not for the framework.
	body.Required = false
	handle(s, huma.Operation{
		OperationID: "verify-webhook", Method: http.MethodGet, Path: "/v1/hooks/{source}", Tags: []string{"Webhooks"},
		Summary:     "Answer Meta's handshake",
		Description: "For sources with the verifier meta: proves itself by the verify token.",
		Errors:      refusals, DefaultStatus: http.StatusOK, SkipValidateParams: true,
		Responses: map[string]*huma.Response{"200": answers()},
	}, access{scope: scopePublic}, func(ctx context.Context, c *caller, in *struct {
		Source string `path:"source" maxLength:"64"`
		handshake
	},
	) (*received, error) {
		return s.receive(ctx, c, in.Source, in.request)
	})
}

// receive verifies before it writes anything (invariant 5).
func (s *Server) receive(ctx context.Context, c *caller, id string, r verify.Request) (*received, error) {
	r.At = s.now()
	org, err := s.routes.find(ctx, id)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return nil, s.nobody("", r)
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
		return nil, s.concealed(org, err, r)
	}
	defer release()
	nobody, m := *c, &incoming{request: r, org: org, cell: opened, source: id}
	out, err := s.receiveKnown(ctx, c, m)
	if err != nil {
		*c = nobody
	}
	for n := 0; n < mostChanges && errors.Is(err, store.ErrChanged); n++ {
		if out, err = s.receiveRead(ctx, c, m); errors.Is(err, store.ErrChanged) {
			*c = nobody
		}
	}
	return out, err
}

// mostChanges is how often a message is judged anew because something has changed in its
// cell before it was written: enough for any number of deployments at a time.
const mostChanges = 16

// incoming is a message while it is judged.
type incoming struct {
	request verify.Request
	source  string
	org     string
	cell    *cell

	// by is what it was verified with, as it came out; zero before.
	by      store.Intake
	message verify.Message
	err     error
}

// judge verifies the message, unless it was with the same.
func (m *incoming) judge(by store.Intake) {
	if m.by.Source.ID == "" || !m.by.Same(by) {
		m.message, m.err = verify.Verify(by.Config, m.request)
	}
	m.by = by
}

// receiveKnown keeps a message that verifies with what was read for another one a moment
// ago, if that still holds when it is written. Whatever else there is to answer is answered
// by who reads it first: the error is store.ErrChanged then, and nothing has happened.
func (s *Server) receiveKnown(ctx context.Context, c *caller, m *incoming) (*received, error) {
	known, ok := m.cell.Door().Remembered(m.source)
	if !ok {
		return nil, store.ErrChanged
	}
	m.judge(known)
	if m.err != nil || m.message.Answer != nil || known.Source.State != rowActive || paused(known.Flow) != nil {
		return nil, store.ErrChanged
	}
	return s.keep(ctx, c, m, true)
}

// receiveRead reads what the message is judged by.
func (s *Server) receiveRead(ctx context.Context, c *caller, m *incoming) (*received, error) {
	intake, err := m.cell.Door().Intake(ctx, m.source, func(source store.Source) (how config.Source, err error) {
		if source.State == rowDeleted {
			return how, schema.Errorf(schema.CodeNotFound, "there is no such source")
		}
		err = m.cell.openJSON(place.Source(m.org, source.ID), source.ConfigSealed, &how)
		return how, err
	})
	if err != nil {
		return nil, s.concealed(m.org, err, m.request)
	}
	source := intake.Source
	if m.judge(intake); m.err != nil {
		s.refusals.count(refusal{
			organization: m.org, actor: actorUnknown, action: actionRefusedEvent, target: source.ID, namespace: source.Namespace,
		}, m.request.At)
		return nil, m.err
	}
	// From here on the caller is known: the log may say whose request it was.
	c.become(source, m.org, m.cell)
	if source.State != rowActive {
		return nil, schema.Errorf(schema.CodeUnavailable, "the source is suspended; nothing was kept").
			Advise("Send the message again when the source is active.")
	}
	if a := m.message.Answer; a != nil {
		return &received{Status: http.StatusOK, ContentType: a.ContentType, Body: a.Body}, nil
	}
	out, err := s.keep(ctx, c, m, false)
	if err == nil {
		m.cell.Door().Remember(intake)
	}
	return out, err
}

// become makes the caller the source that a message was verified to come from.
func (c *caller) become(source store.Source, org string, opened *cell) {
	c.actor, c.org, c.cell, c.namespace.ID = source.ID, org, opened, source.Namespace
}

// concealed answers that the source is not there as if nothing had verified:
// who holds no secret learns nothing of which sources exist.
func (s *Server) concealed(org string, err error, r verify.Request) error {
	switch schema.CodeOf(err) {
	case schema.CodeNotFound, schema.CodeForbidden:
		return s.nobody(org, r)
	default:
		return err
	}
}

// nobody refuses a message to no source. It is counted, but not under what the
// sender called the source.
func (s *Server) nobody(org string, r verify.Request) error {
	s.refusals.count(refusal{organization: org, actor: actorUnknown, action: actionRefusedEvent}, r.At)
	return verify.Nobody(r)
}

// keep writes the event to the inbox, once for every message, if what it was judged by
// still holds then; store.ErrChanged says that it does not.
func (s *Server) keep(ctx context.Context, c *caller, m *incoming, remembered bool) (*received, error) {
	c.become(m.by.Source, m.org, m.cell)
	payload := config.Event{Headers: kept(m.request.Header), ContentType: m.request.Header.Get("Content-Type"), Source: m.source}
	payload.Body, payload.Encoding = asJSON(m.request.Body)
	id, _, err := s.accept(ctx, c, inbound{
		kind: config.KindWebhook, source: m.source, dedupe: m.message.ID, flow: m.by.Flow, digest: m.by.Digest, payload: payload,
		order: m.message.Order, with: &m.by, remembered: remembered,
	})
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(Accepted{Event: id})
	return &received{Status: http.StatusAccepted, ContentType: "application/json", Body: body}, err
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
