package webui

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/token"
)

// MaxAnswer bounds an answer of the frontend to the UI, as the UI's own server does.
const MaxAnswer = 64 << 20

// maxCodecBody bounds what the browser sends to the codec endpoint.
const maxCodecBody = 64 << 20

// Verifier checks operators' tokens.
type Verifier interface {
	Verify(token string, now time.Time) (token.Claims, error)
}

// Config says what the UI stands between.
type Config struct {
	// Address is the address that the UI is served on, the only host that it answers to.
	Address string
	// Secure says that it is served over TLS.
	Secure bool
	// Frontend is a connection to the frontend, made with [OwnNamespaces].
	Frontend *grpc.ClientConn
	Verifier Verifier
	// CodecEndpoint may be empty; CodecCA verifies it, the system's authorities by default.
	CodecEndpoint string
	CodecCA       *x509.CertPool
	// Login puts a login on the record. A login that is not is none.
	Login  func(ctx context.Context, token string, claims token.Claims) error
	Logger *slog.Logger
	// Now is the clock; time.Now by default.
	Now func() time.Time
}

// server is the UI behind its login.
type server struct {
	config   Config
	host     string
	origin   string
	aliases  map[string]bool
	sessions *sessions
	ui       http.Handler
	codec    *httputil.ReverseProxy
}

// New returns the handler of the UI's address.
func New(c Config) (http.Handler, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	host, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "the address must be a host and a port").At("/ui")
	}
	scheme := "http"
	if c.Secure {
		scheme = "https"
	}
	s := &server{
		config:   c,
		host:     c.Address,
		origin:   scheme + "://" + c.Address,
		aliases:  make(map[string]bool),
		sessions: newSessions(),
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		s.aliases[net.JoinHostPort("localhost", port)] = true
	}
	if s.ui, err = newUI(c.Frontend, s.origin, c.CodecEndpoint != ""); err != nil {
		return nil, err
	}
	if c.CodecEndpoint != "" {
		endpoint, err := url.Parse(c.CodecEndpoint)
		if err != nil {
			return nil, schema.Errorf(schema.CodeInvalid, "the codec endpoint must be a URL").At("/codec_endpoint")
		}
		s.codec = newCodecProxy(endpoint, c.CodecCA, c.Logger)
	}
	return s, nil
}

// ServeHTTP implements [http.Handler].
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	// With no-referrer a browser sends a form with the origin "null", which is refused here.
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	if !s.rightHost(w, r) || !s.rightOrigin(w, r) {
		return
	}
	switch r.URL.Path {
	case "/login":
		s.login(w, r)
		return
	case "/logout":
		s.logout(w, r)
		return
	}
	session, ok := s.session(r)
	if !ok {
		s.refuse(w, r)
		return
	}
	// From here on only the session says who is asking.
	r = r.Clone(with(r.Context(), session))
	for _, name := range []string{"Cookie", "Authorization", "Authorization-Extras"} {
		r.Header.Del(name)
	}
	r.Header.Set("Authorization", "Bearer "+session.token)
	if rest, found := strings.CutPrefix(r.URL.Path, "/codec/"); found {
		s.serveCodec(w, r, session, rest)
		return
	}
	s.ui.ServeHTTP(&strict{ResponseWriter: w}, r)
}

// rightHost refuses a request that names another host than the one served: a
// foreign name that was made to resolve to this address.
func (s *server) rightHost(w http.ResponseWriter, r *http.Request) bool {
	if r.Host == s.host {
		return true
	}
	if s.aliases[r.Host] && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		// One origin only, or the cookie and the codec endpoint would not match.
		http.Redirect(w, r, s.origin+r.URL.RequestURI(), http.StatusTemporaryRedirect) //nolint:gosec // The origin is ours and fixed.
		return false
	}
	http.Error(w, "this host is not served here", http.StatusMisdirectedRequest)
	return false
}

// rightOrigin refuses what another site's page sends, and every change that
// does not prove to come from a page of ours.
func (s *server) rightOrigin(w http.ResponseWriter, r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	origin := r.Header.Get("Origin")
	var right bool
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		// A link to the UI may stand anywhere; it arrives without the cookie.
		navigation := r.Header.Get("Sec-Fetch-Mode") == "navigate"
		right = (origin == "" || origin == s.origin) && (site == "" || site == "same-origin" || site == "none" || navigation)
	case http.MethodOptions:
		// There is no other origin that we would answer.
		right = false
	default:
		right = origin == s.origin && (site == "" || site == "same-origin")
	}
	if !right {
		http.Error(w, "the request comes from another origin", http.StatusForbidden)
	}
	return right
}

// refuse answers a request without a session: a person is led to the login.
func (s *server) refuse(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	http.Error(w, "log in at /login", http.StatusUnauthorized)
}
