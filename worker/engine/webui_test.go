package engine_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/tenonhq/tenon/schema/codec"
	"github.com/tenonhq/tenon/schema/task"
	"github.com/tenonhq/tenon/schema/token"
)

// browser is a client with a cookie jar that does not follow redirects.
type browser struct {
	t      *testing.T
	client *http.Client
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &browser{t: t, client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func origin() string { return "http://" + shared.engine.UI() }

// do sends a request of the UI's own pages, changed by edit.
func (b *browser) do(method, path string, body []byte, edit func(*http.Request)) (status int, answer string, header http.Header) {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, origin()+path, bytes.NewReader(body))
	require.NoError(b.t, err)
	if method != http.MethodGet {
		request.Header.Set("Origin", origin())
	}
	if edit != nil {
		edit(request)
	}
	response, err := b.client.Do(request)
	require.NoError(b.t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(b.t, err)
	return response.StatusCode, string(text), response.Header
}

func (b *browser) login(bearer string) int {
	b.t.Helper()
	status, _, _ := b.do(http.MethodPost, "/login", []byte(url.Values{"token": {bearer}}.Encode()), form)
	return status
}

func form(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }

// An operator logs in, sees the own namespaces and runs, decoded, and logs out.
func TestUIShowsAnOperatorItsRuns(t *testing.T) {
	t.Parallel()
	own, other := newCell(t, shared), newCell(t, shared)
	c := own.client(t, shared)
	startWorker(t, c)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "car_1", TaskQueue: task.Queue}, greeting, canary, false)
	require.NoError(t, err)
	require.NoError(t, run.Get(t.Context(), nil))

	b := newBrowser(t)
	status, _, header := b.do(http.MethodGet, "/", nil, func(r *http.Request) { r.Header.Set("Accept", "text/html") })
	assert.Equal(t, http.StatusSeeOther, status)
	assert.Equal(t, "/login", header.Get("Location"))
	status, page, header := b.do(http.MethodGet, "/login", nil, nil)
	assert.Equal(t, http.StatusOK, status)
	assert.NotContains(t, page, "http://", "the page is self-contained")
	assert.NotContains(t, page, "https://", "the page is self-contained")
	assert.Contains(t, header.Get("Content-Security-Policy"), "default-src 'none'")
	assert.Equal(t, http.StatusUnauthorized, first(b.do(http.MethodGet, "/api/v1/namespaces/"+own.org+"/workflows", nil, nil)))

	bearer := mint(t, shared.signer, token.RoleOperator, own.org)
	require.Equal(t, http.StatusSeeOther, b.login(bearer))
	at, err := url.Parse(origin())
	require.NoError(t, err)
	for _, cookie := range b.client.Jar.Cookies(at) {
		assert.NotContains(t, cookie.Value, bearer, "the token does not go to the browser")
	}

	status, page, header = b.do(http.MethodGet, "/", nil, nil)
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, page, "_app/immutable")
	assert.Contains(t, strings.Join(header.Values("Content-Security-Policy"), "; "), "connect-src 'self'")

	_, settings, _ := b.do(http.MethodGet, "/api/v1/settings", nil, nil)
	assert.Contains(t, settings, `"DefaultNamespace":"`+own.org+`"`)
	assert.Contains(t, settings, origin()+"/codec")

	status, namespaces, _ := b.do(http.MethodGet, "/api/v1/namespaces", nil, nil)
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, namespaces, own.org)
	assert.NotContains(t, namespaces, other.org)

	status, about, _ := b.do(http.MethodGet, "/api/v1/namespaces/"+own.org+"/workflows/car_1", nil, nil)
	assert.Equal(t, http.StatusOK, status, about)
	assert.Equal(t, http.StatusForbidden, first(b.do(http.MethodGet, "/api/v1/namespaces/"+other.org+"/workflows", nil, nil)))

	history := "/api/v1/namespaces/" + own.org + "/workflows/car_1/history"
	status, events, _ := b.do(http.MethodGet, history, nil, nil)
	assert.Equal(t, http.StatusOK, status)
	assert.NotContains(t, events, canary)
	raw := "/api/v1/namespaces/" + own.org + "/workflows/car_1/run/" + run.GetRunID() + "/history.json"
	status, events, _ = b.do(http.MethodGet, raw, nil, nil)
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, events, "WorkflowExecutionStarted")

	assert.Equal(t, http.StatusNotFound, first(b.do(http.MethodGet, "/api/v1/releases", nil, nil)), "nothing asks the internet")
	assert.Equal(t, http.StatusSeeOther, first(b.do(http.MethodPost, "/logout", nil, nil)))
	assert.Equal(t, http.StatusUnauthorized, first(b.do(http.MethodGet, "/api/v1/settings", nil, nil)))
}

// first is the status of an answer.
func first(status int, _ string, _ http.Header) int { return status }

// The UI decodes through its own origin, for the operator's namespaces only.
func TestUIDecodes(t *testing.T) {
	t.Parallel()
	own, other := newCell(t, shared), newCell(t, shared)
	sealed, err := codec.DataConverter(own.org, own.keys).ToPayloads(canary)
	require.NoError(t, err)
	body, err := json.Marshal(sealed)
	require.NoError(t, err)
	namespace := func(name string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("X-Namespace", name) }
	}
	b := newBrowser(t)
	assert.Equal(t, http.StatusUnauthorized, first(b.do(http.MethodPost, "/codec/decode", body, namespace(own.org))))
	require.Equal(t, http.StatusSeeOther, b.login(mint(t, shared.signer, token.RoleOperator, own.org)))
	status, answer, _ := b.do(http.MethodPost, "/codec/decode", body, namespace(own.org))
	require.Equal(t, http.StatusOK, status, answer)
	opened, err := codecAnswer(answer)
	require.NoError(t, err)
	assert.Equal(t, `"`+canary+`"`, opened)

	assert.Equal(t, http.StatusForbidden, first(b.do(http.MethodPost, "/codec/decode", body, namespace(other.org))))
	assert.Equal(t, http.StatusForbidden, first(b.do(http.MethodPost, "/codec/decode", body, nil)))
	assert.Equal(t, http.StatusNotFound, first(b.do(http.MethodPost, "/codec/../decode", body, namespace(own.org))))
	assert.Equal(t, http.StatusMethodNotAllowed, first(b.do(http.MethodGet, "/codec/decode", nil, namespace(own.org))))
}

// Only an operator's valid token opens the UI.
func TestUILoginRefuses(t *testing.T) {
	t.Parallel()
	stranger, err := token.NewSigner()
	require.NoError(t, err)
	for name, bearer := range map[string]string{
		"nothing":     "",
		"garbage":     "garbage",
		"another key": mint(t, stranger, token.RoleOperator, "org_x"),
		"a cell":      mint(t, shared.signer, token.RoleCell, "org_x"),
		"the system":  mint(t, shared.signer, token.RoleSystem),
		"too long":    strings.Repeat("a", 1<<20),
	} {
		b := newBrowser(t)
		assert.NotEqual(t, http.StatusSeeOther, b.login(bearer), name)
		assert.Equal(t, http.StatusUnauthorized, first(b.do(http.MethodGet, "/api/v1/settings", nil, nil)), name)
	}
	// A token in the URL is not taken.
	b := newBrowser(t)
	status, _, _ := b.do(http.MethodPost, "/login?token="+mint(t, shared.signer, token.RoleOperator, "org_x"), nil, form)
	assert.Equal(t, http.StatusUnauthorized, status)
	// Nor is one in a header instead of a session.
	status, _, _ = b.do(http.MethodGet, "/api/v1/settings", nil, func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+mint(t, shared.signer, token.RoleOperator, "org_x"))
	})
	assert.Equal(t, http.StatusUnauthorized, status)
}

// Another site's page gets nothing, whatever name it gives this host.
func TestUIRefusesOtherOrigins(t *testing.T) {
	t.Parallel()
	own := newCell(t, shared)
	b := newBrowser(t)
	require.Equal(t, http.StatusSeeOther, b.login(mint(t, shared.signer, token.RoleOperator, own.org)))
	set := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				r.Header.Set(pairs[i], pairs[i+1])
			}
		}
	}
	signal := "/api/v1/namespaces/" + own.org + "/workflows/car_1/signal/more"
	for name, edit := range map[string]func(*http.Request){
		"no origin":        func(r *http.Request) { r.Header.Del("Origin") },
		"null origin":      set("Origin", "null"),
		"another site":     set("Origin", "http://evil.example"),
		"another port":     set("Origin", "http://127.0.0.1:1"),
		"https":            set("Origin", "https://"+shared.engine.UI()),
		"longer":           set("Origin", origin()+".evil.example"),
		"cross-site":       set("Sec-Fetch-Site", "cross-site"),
		"same-site":        set("Sec-Fetch-Site", "same-site"),
		"rebound host":     func(r *http.Request) { r.Host = "evil.example" },
		"rebound and sent": func(r *http.Request) { r.Host = "evil.example"; r.Header.Set("Origin", "http://evil.example") },
	} {
		status, _, _ := b.do(http.MethodPost, signal, []byte("{}"), edit)
		assert.Contains(t, []int{http.StatusForbidden, http.StatusMisdirectedRequest}, status, name)
	}
	assert.Equal(t, http.StatusForbidden, first(b.do(http.MethodGet, "/api/v1/settings", nil, set("Sec-Fetch-Site", "cross-site"))))
	assert.Equal(t, http.StatusForbidden, first(b.do(http.MethodOptions, "/codec/decode", nil, set("Origin", "http://evil.example"))))
	status, _, header := b.do(http.MethodGet, "/", nil, func(r *http.Request) { r.Host = strings.Replace(shared.engine.UI(), "127.0.0.1", "localhost", 1) })
	assert.Equal(t, http.StatusTemporaryRedirect, status)
	assert.Equal(t, origin()+"/", header.Get("Location"))
}
