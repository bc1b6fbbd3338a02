package webui

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
)

// namespaceHeader is how the UI says whose payloads it sends.
const namespaceHeader = "X-Namespace"

// newCodecProxy forwards to the API's codec endpoint. The endpoint decides for
// itself; what is checked here only keeps foreign requests from getting there.
func newCodecProxy(endpoint *url.URL, ca *x509.CertPool, log *slog.Logger) *httputil.ReverseProxy {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // It is one by definition.
	// The token goes to the endpoint and nowhere else.
	transport.Proxy = nil
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: ca}
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			in := p.In.Header
			p.Out.Header = http.Header{
				"Authorization": {in.Get("Authorization")},
				"Content-Type":  {"application/json"},
				"Accept":        {"application/json"},
				namespaceHeader: {in.Get(namespaceHeader)},
			}
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = endpoint.Scheme, endpoint.Host, endpoint.Host
			p.Out.URL.Path = strings.TrimSuffix(endpoint.Path, "/") + strings.TrimPrefix(p.In.URL.Path, "/codec")
			p.Out.URL.RawPath, p.Out.URL.RawQuery = "", ""
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del("Set-Cookie")
			for name := range r.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					r.Header.Del(name)
				}
			}
			r.Header.Set("Cache-Control", "no-store")
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			log.WarnContext(r.Context(), "the codec endpoint cannot be reached", "error", err)
			http.Error(w, "the codec endpoint cannot be reached", http.StatusBadGateway)
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func (s *server) serveCodec(w http.ResponseWriter, r *http.Request, of session, method string) {
	switch {
	case s.codec == nil:
		http.Error(w, "there is no codec endpoint", http.StatusNotFound)
	case method != "decode" && method != "encode":
		http.Error(w, "there is /codec/decode and /codec/encode", http.StatusNotFound)
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "use POST", http.StatusMethodNotAllowed)
	case !slices.Contains(of.claims.Namespaces, r.Header.Get(namespaceHeader)):
		http.Error(w, "the namespace is not one of yours", http.StatusForbidden)
	default:
		r.Body = http.MaxBytesReader(w, r.Body, maxCodecBody)
		s.codec.ServeHTTP(w, r)
	}
}
