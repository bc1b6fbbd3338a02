package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tenonhq/tenon/schema"
)

// trace is what the log line of a request tells. It names no query, header or
// body: any of them can hold a secret.
type trace struct {
	id     string
	caller *caller
}

type traceKey struct{}

func requestID(ctx context.Context) string {
	if t, ok := ctx.Value(traceKey{}).(*trace); ok {
		return t.id
	}
	return ""
}

func note(ctx context.Context, c *caller) {
	if t, ok := ctx.Value(traceKey{}).(*trace); ok {
		t.caller = c
	}
}

// requestHeader carries the request id. A caller's own is not taken over: the
// log is ours.
const requestHeader = "X-Request-Id"

// observe gives every request an id, security headers, a log line, and an
// answer even when a handler panics.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := &trace{id: schema.NewID(schema.PrefixRequest)}
		ctx := context.WithValue(r.Context(), traceKey{}, t)
		began := s.now()
		answer := &recorder{ResponseWriter: w}
		secure(w.Header())
		w.Header().Set(requestHeader, t.id)
		// ServeMux notes the pattern in the request that it is given.
		r = r.WithContext(ctx)
		defer func() {
			if cause := recover(); cause != nil {
				s.log.ErrorContext(ctx, "request panicked", "request", t.id, "route", r.Pattern)
				if answer.status == 0 {
					writeRaw(answer, problemOf(ctx, schema.Errorf(schema.CodeInternal, "the handler panicked")))
				}
			}
			s.line(ctx, r, t, answer, s.now().Sub(began))
		}()
		next.ServeHTTP(answer, r)
	})
}

func (s *Server) line(ctx context.Context, r *http.Request, t *trace, answer *recorder, took time.Duration) {
	organization, namespace, actor := "", "", ""
	if t.caller != nil {
		organization, namespace, actor = t.caller.org, t.caller.namespace.ID, t.caller.actor
	}
	route := r.Pattern
	if route == "" || route == "/" {
		// An unknown path is not repeated: it may be a secret gone astray.
		route = "none"
	}
	level := slog.LevelInfo
	if strings.HasSuffix(route, "/v1/ready") || strings.HasSuffix(route, "/v1/health") {
		level = slog.LevelDebug // Asked every second by whoever watches the service.
	}
	attrs := []slog.Attr{
		slog.String("request", t.id), slog.String("route", route), slog.Int("status", answer.status),
		slog.Int64("bytes", answer.bytes), slog.Duration("took", took),
	}
	for _, a := range []slog.Attr{slog.String("organization", organization), slog.String("namespace", namespace), slog.String("actor", actor)} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	s.log.LogAttrs(ctx, level, "request", attrs...)
}

// secure sets the headers that every answer carries. The documentation page
// widens the policy for itself.
func secure(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Strict-Transport-Security", "max-age=31536000")
}

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection's deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// writeRaw answers with a problem outside of an operation.
func writeRaw(w http.ResponseWriter, p *Problem) {
	maps.Copy(w.Header(), p.header)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	// The connection is all that can fail, and then nobody listens.
	_ = json.NewEncoder(w).Encode(p)
}

// writeProblem answers with a problem inside of an operation's middleware.
func writeProblem(hc huma.Context, p *Problem) {
	hc.SetHeader("Content-Type", "application/problem+json")
	hc.SetStatus(p.Status)
	_ = json.NewEncoder(hc.BodyWriter()).Encode(p)
}

// headers returns every value of a header: Header alone hides a second one.
func headers(hc huma.Context, name string) []string {
	var values []string
	hc.EachHeader(func(n, v string) {
		if http.CanonicalHeaderKey(n) == name {
			values = append(values, v)
		}
	})
	return values
}

func one(values []string) (string, bool) {
	if len(values) != 1 || values[0] == "" {
		return "", false
	}
	return values[0], true
}

// contentLength is the length that the sender announced, if it did.
func contentLength(hc huma.Context) (int64, bool) {
	r, _ := humago.Unwrap(hc)
	return r.ContentLength, r.ContentLength >= 0
}
