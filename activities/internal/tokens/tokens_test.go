package tokens_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/activities/internal/tokens"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestTokenRefresh: a hundred callers at once, at every moment of a token's life,
// make one request each time it is due.
func TestTokenRefresh(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p, c := newProvider(t), newCell(t, b)
		s := c.process("p1")
		hundred := func() {
			var group sync.WaitGroup
			var failed atomic.Value
			for range 100 {
				group.Go(func() {
					a, err := s.Access(t.Context(), p.grant(seal.GrantRefreshToken), 0)
					if err != nil {
						failed.Store(err)
						return
					}
					if !strings.HasPrefix(string(a.Token.Reveal()), "canary-access-") {
						failed.Store(errors.New("not an access token"))
					}
				})
			}
			group.Wait()
			require.Nil(t, failed.Load())
		}
		hundred()
		assert.Equal(t, 1, p.times(), "at first")
		hundred()
		assert.Equal(t, 1, p.times(), "while it lasts")
		c.later(59 * time.Minute)
		hundred()
		assert.Equal(t, 2, p.times(), "before its end")
		c.later(2 * time.Hour)
		hundred()
		assert.Equal(t, 3, p.times(), "after its end")
		assert.Equal(t, "canary-access-3", access(t, s, p.grant(seal.GrantRefreshToken), 0))
		// The next process goes on with the refresh token that replaced the others.
		c.later(2 * time.Hour)
		assert.Equal(t, "canary-access-4", access(t, c.process("p2"), p.grant(seal.GrantRefreshToken), 0))
		entries, err := c.cell.Work().ListAudit(t.Context(), store.AuditFilter{Limit: 10})
		require.NoError(t, err)
		require.Len(t, entries, 4)
		assert.Equal(t, "credential.token", entries[0].Action)
	})
}

func access(t *testing.T, s *tokens.Source, g tokens.Grant, stale int64) string {
	t.Helper()
	a, err := s.Access(t.Context(), g, stale)
	require.NoError(t, err)
	return string(a.Token.Reveal())
}

// TestClientCredentials: each way to authenticate, scopes and parameters, and a
// token that the system will not take any more.
func TestClientCredentials(t *testing.T) {
	t.Parallel()
	p, c := newProvider(t), newCell(t, storetest.SQLite(t))
	s := c.process("p1")
	g := p.grant(seal.GrantClientCredentials)
	g.How.Scopes, g.How.Params = []string{"bills.write", "bills.read"}, map[string]string{"audience": "https://api.example.com/"}
	assert.Equal(t, "canary-access-1", access(t, s, g, 0))
	assert.Equal(t, "bills.write bills.read", p.forms[0].Get("scope"))
	assert.Equal(t, "https://api.example.com/", p.forms[0].Get("audience"))
	assert.Empty(t, p.forms[0].Get("client_secret"))
	assert.True(t, strings.HasPrefix(p.auth[0], "Basic "))

	// Refused with 401: the next one, but only once for all who were refused.
	assert.Equal(t, "canary-access-2", access(t, s, g, 1))
	assert.Equal(t, "canary-access-2", access(t, s, g, 1))
	assert.Equal(t, 2, p.times())

	body := p.grant(seal.GrantClientCredentials)
	body.Version, body.How.ClientAuth = 2, seal.ClientAuthBody
	assert.Equal(t, "canary-access-3", access(t, s, body, 0))
	assert.Equal(t, clientSecret, p.forms[2].Get("client_secret"))
	assert.Empty(t, p.auth[2])

	// Without a life span it lasts until it is refused; with a very short one it is used at once.
	p.set(func() { p.life = 0 })
	endless := p.grant(seal.GrantClientCredentials)
	endless.Version = 3
	assert.Equal(t, "canary-access-4", access(t, s, endless, 0))
	c.later(24 * time.Hour)
	assert.Equal(t, "canary-access-4", access(t, s, endless, 0))
	p.set(func() { p.life = 1 })
	short := p.grant(seal.GrantClientCredentials)
	short.Version = 4
	assert.Equal(t, "canary-access-5", access(t, s, short, 0))
	assert.Equal(t, 5, p.times())
}

// TestRefusals: what the provider says no repetition mends is told once, kept,
// and asked again after a while only. No error quotes what it quotes.
func TestRefusals(t *testing.T) {
	t.Parallel()
	p, c := newProvider(t), newCell(t, storetest.SQLite(t))
	s := c.process("p1")
	g := p.grant(seal.GrantRefreshToken)
	p.set(func() { p.current = "" })
	for range 3 {
		_, err := s.Access(t.Context(), g, 0)
		require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
		assert.Contains(t, err.Error(), "invalid_grant")
		assert.NotContains(t, err.Error(), "got no answer")
		quoted(t, err)
	}
	assert.Equal(t, 1, p.times())
	p.set(func() { p.current = firstRefresh })
	c.later(2 * time.Minute)
	assert.Equal(t, "canary-access-1", access(t, s, g, 0))

	wrong := p.grant(seal.GrantClientCredentials)
	wrong.Version = 2
	wrong.Values["client_secret"] = secret("canary-wrong-secret")
	_, err := s.Access(t.Context(), wrong, 0)
	require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
	assert.Contains(t, err.Error(), "invalid_client")
	quoted(t, err)
}

// TestProviderDiesAfterIssuing: the provider has replaced the refresh token, and
// its answer is lost. The next attempt asks with the one that is left; when the
// provider takes that for theft, the error says what happened.
func TestProviderDiesAfterIssuing(t *testing.T) {
	t.Parallel()
	p, c := newProvider(t), newCell(t, storetest.SQLite(t))
	s := c.process("p1")
	g := p.grant(seal.GrantRefreshToken)
	p.set(func() {
		p.around = func(_ http.ResponseWriter, r *http.Request, _ func()) {
			p.give(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
	})
	_, err := s.Access(t.Context(), g, 0)
	require.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
	require.ErrorIs(t, err, tokens.ErrEndpoint)
	quoted(t, err)
	row, err := c.cell.Work().GetToken(t.Context(), "con_1", 1)
	require.NoError(t, err)
	assert.NotNil(t, row.BegunAt, "that a request was not answered is on record")
	assert.Empty(t, row.Refresher)
	p.set(func() { p.around = nil })
	_, err = s.Access(t.Context(), g, 0)
	require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
	assert.Contains(t, err.Error(), "got no answer")
	quoted(t, err)
}

// TestTokenThatStillLastsIsUsed: a provider that does not answer harms nobody
// while the token lasts.
func TestTokenThatStillLastsIsUsed(t *testing.T) {
	t.Parallel()
	p, c := newProvider(t), newCell(t, storetest.SQLite(t))
	s := c.process("p1")
	g := p.grant(seal.GrantClientCredentials)
	assert.Equal(t, "canary-access-1", access(t, s, g, 0))
	p.set(func() {
		p.around = func(w http.ResponseWriter, _ *http.Request, _ func()) { w.WriteHeader(http.StatusBadGateway) }
	})
	c.later(59 * time.Minute)
	assert.Equal(t, "canary-access-1", access(t, s, g, 0))
	c.later(time.Hour)
	_, err := s.Access(t.Context(), g, 0)
	require.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
	require.ErrorIs(t, err, tokens.ErrEndpoint)
}

// TestAnotherProcessIsWaitedFor: a process that died while it asked may have been
// answered. The next one asks only when that request has certainly ended, and
// takes what the other one kept.
func TestAnotherProcessIsWaitedFor(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p, c := newProvider(t), newCell(t, b)
		g := p.grant(seal.GrantRefreshToken)
		inside, answer := make(chan struct{}), make(chan struct{})
		p.set(func() {
			p.around = func(_ http.ResponseWriter, _ *http.Request, give func()) {
				close(inside)
				<-answer
				give()
			}
		})
		first := make(chan error, 1)
		go func() {
			_, err := c.process("p1").Access(context.WithoutCancel(t.Context()), g, 0)
			first <- err
		}()
		<-inside
		p.set(func() { p.around = nil })
		short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		second := c.process("p2")
		_, err := second.Access(short, g, 0)
		require.Equal(t, schema.CodeTimeout, schema.CodeOf(err))
		assert.Equal(t, 1, p.times(), "the refresh token was not used twice")
		close(answer)
		require.NoError(t, <-first)
		assert.Equal(t, "canary-access-1", access(t, second, g, 0))
		assert.Equal(t, 1, p.times())

		// One that never comes back is waited for no longer than a request lasts.
		require.NoError(t, c.cell.Work().BeginRefresh(t.Context(), "con_1", 1, 1, "p3", time.Minute))
		require.Equal(t, schema.CodeConflict, schema.CodeOf(c.cell.Work().BeginRefresh(t.Context(), "con_1", 1, 1, "p4", time.Minute)))
		require.NoError(t, c.cell.Work().BeginRefresh(t.Context(), "con_1", 1, 1, "p4", 0))
		require.Equal(t, schema.CodeConflict, schema.CodeOf(c.cell.Work().PutToken(t.Context(),
			store.Token{Connection: "con_1", Version: 1, Generation: 1, Refresher: "p3", Sealed: []byte{1}}, store.AuditDraft{Actor: "p3", Action: "x"})))
	})
}

// failing is the real store, whose disk is full once.
type failing struct {
	tokens.Rows
	left atomic.Int32
}

func (f *failing) PutToken(ctx context.Context, k store.Token, a store.AuditDraft) error {
	if f.left.Add(-1) >= 0 {
		return schema.Errorf(schema.CodeUnavailable, "the disk is full")
	}
	return f.Rows.PutToken(ctx, k, a)
}

// TestAnswerIsKeptBeforeItIsUsed: a new refresh token that cannot be committed is
// neither lost nor used, and the provider is not asked again.
func TestAnswerIsKeptBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	p, c := newProvider(t), newCell(t, storetest.SQLite(t))
	rows := &failing{Rows: c.cell.Work()}
	rows.left.Store(2)
	s := c.over("p1", rows)
	g := p.grant(seal.GrantRefreshToken)
	for range 2 {
		_, err := s.Access(t.Context(), g, 0)
		require.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
		require.NotErrorIs(t, err, tokens.ErrEndpoint)
	}
	assert.Equal(t, "canary-access-1", access(t, s, g, 0))
	assert.Equal(t, 1, p.times())
	c.later(2 * time.Hour)
	assert.Equal(t, "canary-access-2", access(t, s, g, 0))
}

// TestCallerLeaves: a caller that gives up does not break off the request, whose
// answer would be lost, and its wiped values are not what is sent.
func TestCallerLeaves(t *testing.T) {
	t.Parallel()
	p, c := newProvider(t), newCell(t, storetest.SQLite(t))
	s := c.process("p1")
	inside, answer := make(chan struct{}), make(chan struct{})
	p.set(func() {
		p.around = func(_ http.ResponseWriter, _ *http.Request, give func()) {
			close(inside)
			<-answer
			give()
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	g := p.grant(seal.GrantRefreshToken)
	go func() {
		_, err := s.Access(ctx, g, 0)
		for _, v := range g.Values {
			v.Wipe()
		}
		left <- err
	}()
	<-inside
	cancel()
	require.Error(t, <-left)
	close(answer)
	assert.Equal(t, "canary-access-1", access(t, s, p.grant(seal.GrantRefreshToken), 0))
	assert.Equal(t, 1, p.times())
}

// TestTokenHost: client secret and refresh token go to the token endpoint's host,
// over TLS that proves it, and nowhere else.
func TestTokenHost(t *testing.T) {
	t.Parallel()
	p, c := newProvider(t), newCell(t, storetest.SQLite(t))
	var reached atomic.Int32
	evil := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body)+r.Header.Get("Authorization"), "canary") {
			reached.Add(1)
		}
		reached.Add(1)
	}))
	defer evil.Close()
	s := c.process("p1")
	for _, status := range []int{301, 302, 303, 307, 308} {
		p.set(func() {
			p.around = func(w http.ResponseWriter, r *http.Request, _ func()) { http.Redirect(w, r, evil.URL+"/token", status) }
		})
		_, err := s.Access(t.Context(), p.grant(seal.GrantRefreshToken), 0)
		require.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
		quoted(t, err)
	}
	// Another server, whom the sealed authority does not vouch for.
	g := p.grant(seal.GrantRefreshToken)
	g.How.TokenURL, g.How.CA = evil.URL+"/token", ""
	_, err := s.Access(t.Context(), g, 0)
	require.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
	quoted(t, err)
	assert.Zero(t, reached.Load())
}

// TestHostileAnswers: whatever the provider answers, no secret is in an error and
// nothing that cannot be sent is kept.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	p, c := newProvider(t), newCell(t, storetest.SQLite(t))
	s := c.process("p1")
	version := 0
	for name, text := range map[string]string{
		"not JSON": "canary", "no token": `{"token_type":"bearer"}`, "another type": `{"access_token":"canary-a","token_type":"mac"}`,
		"line break": `{"access_token":"canary\r\nX: y","token_type":"bearer"}`, "short": `{"access_token":"abc"}`,
		"long":           `{"access_token":"` + strings.Repeat("canary", 4000) + `"}`,
		"too much":       `{"access_token":"` + strings.Repeat("canary", 60000) + `"}`,
		"unknown error":  `{"error":"canary-client-secret","error_description":"canary"}`,
		"error as a 200": `{"error":"invalid_grant","error_description":"canary"}`,
	} {
		version++
		p.set(func() {
			p.around = func(w http.ResponseWriter, _ *http.Request, _ func()) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, text)
			}
		})
		g := p.grant(seal.GrantClientCredentials)
		g.Version = version
		_, err := s.Access(t.Context(), g, 0)
		require.Error(t, err, name)
		quoted(t, err)
	}
	p.set(func() {
		p.around = func(w http.ResponseWriter, r *http.Request, _ func()) {
			connection, buffered, _ := http.NewResponseController(w).Hijack()
			_, _ = buffered.WriteString("HTTP/1.1 2x" + r.Header.Get("Authorization") + " canary\r\n\r\n")
			_ = buffered.Flush()
			_ = connection.Close()
		}
	})
	g := p.grant(seal.GrantClientCredentials)
	g.Version = version + 1
	_, err := s.Access(t.Context(), g, 0)
	require.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
	quoted(t, err)
	assert.NotContains(t, err.Error(), "Basic")
}

// TestTokensAtRest: what is stored is readable by the cell alone, in its place
// alone: not with the data key, which the API has, nor moved or planted.
func TestTokensAtRest(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p, c := newProvider(t), newCell(t, b)
		s := c.process("p1")
		g := p.grant(seal.GrantRefreshToken)
		access(t, s, g, 0)
		row, err := c.api.Work().GetToken(t.Context(), "con_1", 1)
		require.NoError(t, err)
		assert.NotContains(t, string(row.Sealed), "canary")
		_, err = c.keys.OpenToken("con_2", 1, row.Sealed)
		require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
		_, err = c.keys.OpenToken("con_1", 2, row.Sealed)
		require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
		require.Equal(t, schema.CodeForbidden, schema.CodeOf(c.api.Work().BeginRefresh(t.Context(), "con_1", 1, 1, "api", time.Minute)), "the API writes none")
		// Moved to another version, it is refused, not used, and not replaced in silence.
		require.NoError(t, c.cell.Work().BeginRefresh(t.Context(), "con_1", 2, 0, "x", time.Minute))
		require.NoError(t, c.cell.Work().PutToken(t.Context(), store.Token{Connection: "con_1", Version: 2, Refresher: "x", Sealed: row.Sealed}, store.AuditDraft{Actor: "x", Action: "x"}))
		g.Version = 2
		_, err = s.Access(t.Context(), g, 0)
		require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
		assert.Equal(t, 1, p.times())
		// Dropped: only the versions that stay are left.
		require.NoError(t, c.cell.Work().DropTokens(t.Context(), "con_1", 2, store.AuditDraft{Actor: "x", Action: "credential.tokens_dropped"}))
		rows, err := c.cell.Work().ListTokens(t.Context())
		require.NoError(t, err)
		require.Len(t, rows, 1)
		assert.Equal(t, 2, rows[0].Version)
	})
}
