package api_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// Invariant 3: what the platform's own chain tells of an organization is sealed by
// that organization's keys. Both it and the platform read it, nobody else's keys
// open it, and with the organization's keys it is gone.
func TestControlDetailsAreSealed(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	acme, globex := p.tenant("acme"), p.tenant("globex")
	p.key(acme.all, `{"name":"auditor","permissions":["audit:read","runs:read"]}`)
	p.key(p.admin, `{"name":"platform auditor","permissions":["audit:read"]}`)

	entries, err := p.control.ListAudit(t.Context(), store.AuditFilter{Action: "key.create"})
	require.NoError(t, err)
	var ofAcme []string
	for _, e := range entries {
		if e.Organization == "" {
			require.True(t, len(e.Detail) == 0 || json.Valid(e.Detail), "it concerns nobody, and nobody's key could open it")
			continue
		}
		require.NotContains(t, string(e.Detail), "permissions")
		for _, org := range []string{acme.org, globex.org} {
			keys := p.host(org)
			plain, err := keystore.Set(keys.DataKeys, keys.AuditKeys).Open(place.Audit(org, store.ChainControl), e.Detail)
			require.Equal(t, org == e.Organization, err == nil)
			if err == nil {
				require.Contains(t, string(plain), "permissions")
			}
		}
		if e.Organization == acme.org {
			ofAcme = append(ofAcme, e.ID)
		}
	}
	require.Len(t, ofAcme, 3)

	shown := func(path, key string) (details int) {
		for _, e := range p.pages(path, key) {
			if e.Action == "key.create" && e.Organization == acme.org {
				require.Contains(t, ofAcme, e.ID)
				if e.Detail != nil {
					require.Contains(t, string(e.Detail), `"permissions"`)
					details++
				}
			}
		}
		return details
	}
	assert.Equal(t, 3, shown("/v1/audit?limit=50", acme.all))
	assert.Equal(t, 3, shown("/v1/platform/audit?limit=50", p.admin))

	require.NoError(t, p.keys.Delete(t.Context(), acme.org))
	assert.Zero(t, shown("/v1/platform/audit?limit=50", p.admin), "the entries stand, and what they told is gone")
	assert.Equal(t, http.StatusOK, p.call("GET", "/v1/platform/audit/export", p.admin, "").status)
}

// An organization that is still being made has no keys to seal with: the entry of
// its first key stands without what it tells.
func TestAKeyBeforeThereIsACell(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	var org struct{ ID string }
	p.must(http.StatusCreated, p.call("POST", "/v1/organizations", p.admin, `{"name":"acme"}`), &org)
	p.key(p.admin, `{"organization":"`+org.ID+`","name":"all","permissions":["*"]}`)
	entries, err := p.control.ListAudit(t.Context(), store.AuditFilter{Action: "key.create", Organization: org.ID})
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Empty(t, entries[0].Detail)
}
