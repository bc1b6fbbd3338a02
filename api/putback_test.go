package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestPutBackOrganization: an organization whose databases were put back is closed,
// with a code of its own and what to do; it can still be deleted. Another one is
// not concerned.
func TestPutBackOrganization(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p := newPlatformOn(t, t.TempDir(), b)
		o, other := p.tenant("acme"), p.tenant("other")
		o.connection("books", "bearer")
		require.NoError(t, p.control.PutBack(t.Context(), o.org, store.AuditDraft{Actor: "system", Action: "organization.put_back", Target: o.org}))
		require.Eventually(t, func() bool {
			return p.call("GET", "/v1/connections", o.bound, "").status == http.StatusServiceUnavailable
		}, 10*time.Second, 20*time.Millisecond)
		for _, c := range [][3]string{
			{"GET", "/v1/connections", ""},
			{"GET", "/v1/audit", ""},
			{"GET", "/v1/connections/books/sealing", ""},
			{"PUT", "/v1/connections/books/credential", `{"values":{"token":"a-token-of-some-length"}}`},
		} {
			var problem api.Problem
			p.must(http.StatusServiceUnavailable, p.call(c[0], c[1], o.bound, c[2]), &problem)
			require.Equal(t, "put_back", string(problem.Code), c[1])
			require.Contains(t, problem.Hint, "accept-restore")
		}
		var org api.Organization
		p.must(http.StatusOK, p.call("GET", "/v1/organizations/"+o.org, p.admin, ""), &org)
		require.Equal(t, "put_back", org.State)
		p.must(http.StatusOK, p.call("GET", "/v1/connections", other.bound, ""), nil)
		p.must(http.StatusAccepted, p.call("DELETE", "/v1/organizations/"+o.org+"?confirm="+o.org, p.admin, ""), nil)
	})
}

// TestVersionsAreNotUsedTwice: the cell may know of versions that the database has
// not, since it was put back: the next one is none of those.
func TestVersionsAreNotUsedTwice(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p := newPlatformOn(t, t.TempDir(), b)
		o := p.tenant("acme")
		id := o.connection("books", "bearer")
		next := func() (to api.Sealing) {
			p.must(http.StatusOK, p.call("GET", "/v1/connections/books/sealing", o.bound, ""), &to)
			return to
		}
		put := func() (k api.Credential) {
			p.must(http.StatusOK, p.call("PUT", "/v1/connections/books/credential", o.bound, `{"values":{"token":"a-token-of-some-length"}}`), &k)
			return k
		}
		require.Equal(t, 1, put().Version)
		o.learns(id, config.Custody{Entered: 5, Floor: 4})
		require.Equal(t, 6, next().Version)
		require.Equal(t, 6, put().Version)
		o.learns(id, config.Custody{Entered: 6, Floor: 7})
		require.Equal(t, 7, next().Version)
		o.learns(id, config.Custody{Entered: 6, Suspension: &config.Suspension{Version: 9, At: time.Now(), Reason: "x"}})
		require.Equal(t, 10, put().Version)
		o.learns(id, config.Custody{Floor: 1 << 31})
		p.must(http.StatusConflict, p.call("GET", "/v1/connections/books/sealing", o.bound, ""), nil)
	})
}
