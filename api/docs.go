package api

import (
	"embed"
	"net/http"

	"github.com/tenonhq/tenon/schema"
)

// page is the documentation: four files, no library, nothing from
// another host.
//
//go:embed docs/index.html docs/sealing.html docs/docs.js docs/docs.css
var page embed.FS

// pagePolicy allows the page its own script, style and document.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// serveDocument serves the OpenAPI document, made once, and its page.
func (s *Server) serveDocument(mux *http.ServeMux) error {
	asJSON, err := s.OpenAPI()
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "api: the OpenAPI document cannot be written: %w", err)
	}
	asYAML, err := s.huma.OpenAPI().YAML()
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "api: the OpenAPI document cannot be written: %w", err)
	}
	static := func(pattern, kind string, body []byte, policy string) {
		mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Cache-Control", "no-cache")
			if policy != "" {
				w.Header().Set("Content-Security-Policy", policy)
			}
			// The connection is all that can fail, and then nobody listens.
			_, _ = w.Write(body)
		})
	}
	static("/openapi.json", "application/openapi+json", asJSON, "")
	static("/openapi.yaml", "application/openapi+yaml", asYAML, "")
	for _, f := range []struct{ pattern, name, kind string }{
		{"/docs", "docs/index.html", "text/html; charset=utf-8"},
		{"/docs/sealing", "docs/sealing.html", "text/html; charset=utf-8"},
		{"/docs/docs.js", "docs/docs.js", "text/javascript; charset=utf-8"},
		{"/docs/docs.css", "docs/docs.css", "text/css; charset=utf-8"},
	} {
		body, err := page.ReadFile(f.name)
		if err != nil {
			return schema.Errorf(schema.CodeInternal, "api: the documentation page is not embedded: %w", err)
		}
		static(f.pattern, f.kind, body, pagePolicy)
	}
	return nil
}
