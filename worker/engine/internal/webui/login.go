package webui

import (
	_ "embed"
	"html/template"
	"net/http"
	"strings"

	"github.com/tenonhq/tenon/schema/token"
)

// maxLogin bounds the login form; a token is well below.
const maxLogin = 16 << 10

//go:embed login.html
var loginHTML string

var loginPage = template.Must(template.New("login").Parse(loginHTML))

// login shows the form, and takes an operator's token from it.
func (s *server) login(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		s.showLogin(w, http.StatusOK, "")
	case http.MethodPost:
		s.takeToken(w, r)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "use GET or POST", http.StatusMethodNotAllowed)
	}
}

func (s *server) takeToken(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxLogin)
	// The body only: a token in a URL ends in logs and histories.
	given := strings.TrimSpace(r.PostFormValue("token"))
	claims, err := s.config.Verifier.Verify(given, s.config.Now())
	if given == "" || err != nil {
		s.showLogin(w, http.StatusUnauthorized, "The token is not valid, or has expired.")
		return
	}
	// A worker's or the platform's token has no place in a browser.
	if claims.Role != token.RoleOperator {
		s.showLogin(w, http.StatusForbidden, "The token is not an operator's.")
		return
	}
	if err := s.config.Login(r.Context(), given, claims); err != nil {
		s.config.Logger.WarnContext(r.Context(), "a login to the engine's web UI could not be recorded and was refused", "error", err)
		s.showLogin(w, http.StatusServiceUnavailable, "The login could not be put on the record. Is the API running?")
		return
	}
	if old, err := r.Cookie(cookieName); err == nil {
		s.sessions.close(old.Value)
	}
	s.setCookie(w, s.sessions.open(session{token: given, claims: claims}, s.config.Now()), claims.Expires)
	s.config.Logger.InfoContext(r.Context(), "an operator logged in to the engine's web UI", "subject", claims.Subject, "namespaces", claims.Namespaces)
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *server) showLogin(w http.ResponseWriter, status int, problem string) {
	style := nonce()
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy",
		"default-src 'none'; style-src 'nonce-"+style+"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	// The status is sent: an error now is the client's connection ending.
	_ = loginPage.Execute(w, struct{ Nonce, Problem string }{style, problem})
}

// logout ends the session. A GET would let any page's link do it.
func (s *server) logout(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "use POST", http.StatusMethodNotAllowed)
		return
	}
	if cookie, err := r.Cookie(cookieName); err == nil {
		s.sessions.close(cookie.Value)
	}
	s.setCookie(w, "", s.config.Now())
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}
