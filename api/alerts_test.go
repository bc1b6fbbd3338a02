package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestAlertTarget: where alerts are sent is set with a new secret each time, shown
// once; what is no path of a connection of one's own is refused.
func TestAlertTarget(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p := newPlatformOn(t, t.TempDir(), b)
		o := p.tenant("acme")
		assert.Equal(t, http.StatusNotFound, p.call("GET", "/v1/alerts/target", o.bound, "").status)
		assert.Equal(t, http.StatusNotFound, p.call("POST", "/v1/alerts/test", o.bound, "").status)
		o.connection("books", "bearer")
		for body, at := range map[string]string{
			`{"connection":"nobody","path":"/a"}`:                 "/connection",
			`{"connection":"books","path":"//evil.example/a"}`:    "/path",
			`{"connection":"books","path":"/x?u=https://e.com"}`:  "/path",
			`{"connection":"books","path":"/%zz"}`:                "/path",
			`{"connection":"books","path":"https://e.com"}`:       "",
			`{"connection":"books","path":"/a","kinds":["all"]}`:  "",
			`{"connection":"books","path":"/a","kinds":[]}`:       "",
			`{"connection":"books","path":"/a","secret":"mine"}`:  "",
			`{"connection":"books","path":"/a\nX-Injected: yes"}`: "/path",
		} {
			problem := p.call("PUT", "/v1/alerts/target", o.bound, body).problem(t)
			assert.Equal(t, http.StatusUnprocessableEntity, problem.Status, body)
			assert.Equal(t, schema.CodeInvalid, problem.Code, body)
			if at != "" {
				assert.Equal(t, at, problem.Pointer, body)
			}
		}
		var first, second api.NewAlertTarget
		p.must(http.StatusOK, p.call("PUT", "/v1/alerts/target", o.bound, `{"connection":"books","path":"/a"}`), &first)
		p.must(http.StatusOK, p.call("PUT", "/v1/alerts/target", o.bound, `{"connection":"books","path":"/b","kinds":["run.failed"]}`), &second)
		assert.NotEqual(t, first.Secret, second.Secret)
		assert.Equal(t, []string{store.AlertUncertain, store.AlertSuspended}, first.Kinds)
		shown := p.call("GET", "/v1/alerts/target", o.bound, "")
		p.must(http.StatusOK, shown, nil)
		assert.NotContains(t, string(shown.body), "whsec_")
		assert.Contains(t, string(shown.body), `"/b"`)
		p.must(http.StatusAccepted, p.call("POST", "/v1/alerts/test", o.bound, ""), nil)
		p.must(http.StatusNoContent, p.call("DELETE", "/v1/alerts/target", o.bound, ""), nil)
		assert.Equal(t, http.StatusNotFound, p.call("DELETE", "/v1/alerts/target", o.bound, "").status)
		assert.NotContains(t, p.logs.String(), "whsec_")
	})
}
