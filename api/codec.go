package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tenonhq/tenon/schema/codec"
)

const decodePath = "/v1/codec/decode"

func (s *Server) registerCodec() {
	handle(s, huma.Operation{
		OperationID: "decode-payloads", Method: http.MethodPost, Path: decodePath, Tags: []string{"Engine"},
		Summary:     "Decode payloads for the engine's tools",
		Description: "The remote codec protocol of the engine. X-Namespace is the organization's id. Admits an operator token of that organization, or one of its keys with runs:read that is bound to no namespace.",
		Parameters: []*huma.Param{{
			Name: namespaceHeader, In: "header", Required: true, Description: "The organization's id.",
			Schema: &huma.Schema{Type: huma.TypeString},
		}},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Description: "{payloads: [{metadata, data}]}"}},
		}},
		SkipValidateBody: true, MaxBodyBytes: maxPayloads,
	}, access{scope: scopeOperator, permission: RunsRead}, s.decode)
}

// maxPayloads bounds a page of history that is decoded at once.
const maxPayloads = 16 << 20

// rawRequest is a request for another handler.
type rawRequest struct {
	RawBody []byte `contentType:"application/octet-stream"`
	request *http.Request
}

// Resolve implements huma.Resolver.
func (r *rawRequest) Resolve(hc huma.Context) []error {
	r.request, _ = humago.Unwrap(hc)
	return nil
}

type rawAnswer struct {
	Body func(huma.Context)
}

func (s *Server) decode(_ context.Context, c *caller, in *rawRequest) (*rawAnswer, error) {
	in.request.Body = io.NopCloser(bytes.NewReader(in.RawBody))
	endpoint := codec.Endpoint(codec.New(c.org, c.cell.keys))
	return &rawAnswer{Body: func(hc huma.Context) {
		_, w := humago.Unwrap(hc)
		endpoint.ServeHTTP(w, in.request)
	}}, nil
}

// crossOrigin lets the engine's web interface, and no other page, ask the
// codec endpoint from a browser. Everything else of this service is for the
// same origin only: it sends no header that would allow another.
func (s *Server) crossOrigin(next http.Handler) http.Handler {
	allowed := origin(s.config.EngineUI)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := r.Header.Get("Origin")
		if r.URL.Path != decodePath || allowed == "" || from != allowed {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", allowed)
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.Add("Vary", "Origin")
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", http.MethodPost)
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Namespace, X-CSRF-Token")
			h.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// origin is the scheme and host of an address.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
