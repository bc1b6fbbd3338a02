package webui

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"sync"
	"time"

	"github.com/tenonhq/tenon/schema/token"
)

const (
	cookieName  = "tenon_engine_session"
	maxSessions = 256
)

// session is what one browser is logged in as. The token never goes to the
// browser: cookies are sent to every port of a host.
type session struct {
	token  string
	claims token.Claims
}

// sessions are kept in memory by the hash of their cookie, and end with their
// token or with the process.
type sessions struct {
	mu   sync.Mutex
	byID map[[sha256.Size]byte]session
}

func newSessions() *sessions {
	return &sessions{byID: make(map[[sha256.Size]byte]session)}
}

// open starts a session and returns the value of its cookie.
func (s *sessions) open(of session, now time.Time) string {
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest [sha256.Size]byte
	var expires time.Time
	for key, other := range s.byID {
		if !other.claims.Expires.After(now) {
			delete(s.byID, key)
			continue
		}
		if expires.IsZero() || other.claims.Expires.Before(expires) {
			oldest, expires = key, other.claims.Expires
		}
	}
	if len(s.byID) >= maxSessions {
		delete(s.byID, oldest)
	}
	s.byID[sha256.Sum256([]byte(id))] = of
	return id
}

func (s *sessions) find(id string, now time.Time) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.byID[sha256.Sum256([]byte(id))]
	return found, ok && found.claims.Expires.After(now)
}

func (s *sessions) close(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, sha256.Sum256([]byte(id)))
}

// session finds the session of a request.
func (s *server) session(r *http.Request) (session, bool) {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return session{}, false
	}
	found, ok := s.sessions.find(cookie.Value, s.config.Now())
	if !ok {
		return session{}, false
	}
	// A token that was revoked since takes its sessions with it.
	if _, err := s.config.Verifier.Verify(found.token, s.config.Now()); err != nil {
		s.sessions.close(cookie.Value)
		return session{}, false
	}
	return found, true
}

func (s *server) setCookie(w http.ResponseWriter, value string, expires time.Time) {
	cookie := &http.Cookie{ //nolint:gosec // Secure follows the listener: loopback is plaintext.
		Name:     cookieName,
		Value:    value,
		Path:     "/",
		Expires:  expires,
		Secure:   s.config.Secure,
		HttpOnly: true,
		SameSite: http.SameSiteStrictMode,
	}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}

type sessionKey struct{}

func with(ctx context.Context, s session) context.Context {
	return context.WithValue(ctx, sessionKey{}, s)
}

// from returns the session that a request was let in with.
func from(ctx context.Context) session {
	s, _ := ctx.Value(sessionKey{}).(session)
	return s
}

// nonce is for the login page's one style element.
func nonce() string {
	var b [16]byte
	// crypto/rand never fails.
	_, _ = rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}
