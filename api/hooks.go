package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tenonhq/tenon/api/internal/verify"
	"github.com/tenonhq/tenon/schema"
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
