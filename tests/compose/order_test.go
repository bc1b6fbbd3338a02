package compose

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asked is what the API answers over TLS, with the status that is wanted.
func (s *stage) asked(ctx context.Context, t assert.TestingT, method, path, key, body string, want int) map[string]any {
	status, answer := call(ctx, t, s.client, method, s.value("api", "TENON_API_URL")+path, key, body)
	assert.Equal(t, want, status, "%s %s: %v", method, path, answer)
	return answer
}

// organization makes one whose cell has a flow, and returns a key that runs it.
func (s *stage) organization(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.value("init", "TENON_DATA"), "admin.key"))
	require.NoError(t, err)
	admin := strings.TrimSpace(string(text))
	id, _ := s.asked(t.Context(), t, http.MethodPost, "/v1/organizations", admin, `{"name":"`+name+`"}`, http.StatusCreated)["id"].(string)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Equal(c, "active", s.asked(t.Context(), c, http.MethodGet, "/v1/organizations/"+id, admin, "", http.StatusOK)["state"])
	}, patience, 100*time.Millisecond)
	own, _ := s.asked(t.Context(), t, http.MethodPost, "/v1/keys", admin, `{"organization":"`+id+`","name":"t","permissions":["*"]}`, http.StatusCreated)["key"].(string)
	s.asked(t.Context(), t, http.MethodPost, "/v1/namespaces", own, `{"name":"prod"}`, http.StatusCreated)
	own, _ = s.asked(t.Context(), t, http.MethodPost, "/v1/keys", own, `{"name":"p","namespace":"prod","permissions":["*"]}`, http.StatusCreated)["key"].(string)
	document := `{"document":{"dsl":"1.0.3","namespace":"t","name":"double","version":"1.0.0"},"do":[{"a":{"set":{"twice":"${ .n * 2 }"}}}]}`
	s.asked(t.Context(), t, http.MethodPost, "/v1/flows", own, `{"document":`+document+`}`, http.StatusCreated)
	return own
}

// order has the flow run once more, to its end.
func (s *stage) order(t *testing.T, own string) {
	t.Helper()
	before, _ := s.asked(t.Context(), t, http.MethodGet, "/v1/runs", own, "", http.StatusOK)["items"].([]any)
	s.asked(t.Context(), t, http.MethodPost, "/v1/flows/double/runs", own, `{"input":{"n":21}}`, http.StatusAccepted)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		runs, _ := s.asked(t.Context(), c, http.MethodGet, "/v1/runs", own, "", http.StatusOK)["items"].([]any)
		assert.Len(c, runs, len(before)+1)
		for _, r := range runs {
			run, _ := r.(map[string]any)
			assert.Equal(c, "completed", run["state"])
		}
	}, patience, 100*time.Millisecond)
}
