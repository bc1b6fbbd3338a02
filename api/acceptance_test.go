package api

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// Details are sealed once while their key is the current one, and what there is no room
// for is sealed each time: it adds no row that stays.
func TestAcceptancesAreSealedOnce(t *testing.T) {
	key := func() seal.DataKey {
		k, err := seal.NewDataKey()
		require.NoError(t, err)
		return k
	}
	data, first, next := key(), key(), key()
	c := &cell{org: schema.NewID(schema.PrefixOrganization), keys: seal.NewDataKeys(data).WithAudit(first), acceptances: &acceptances{}}
	get := func(version int) ([]byte, bool) {
		t.Helper()
		sealed, shared, err := c.acceptances.get(c, acceptance{Kind: "call", Flow: "flow_1", Version: version})
		require.NoError(t, err)
		plain, err := c.keys.Open(place.Audit(c.org, store.ChainDoor), sealed)
		require.NoError(t, err)
		require.Contains(t, string(plain), `"flow":"flow_1"`)
		return sealed, shared
	}
	one, shared := get(0)
	require.True(t, shared)
	again, _ := get(0)
	require.Equal(t, one, again)
	other, _ := get(1)
	require.NotEqual(t, one, other)
	for version := range mostAcceptances {
		get(version)
	}
	full, shared := get(mostAcceptances)
	require.False(t, shared)
	fuller, _ := get(mostAcceptances)
	require.NotEqual(t, full, fuller)
	again, shared = get(0)
	require.True(t, shared)
	require.Equal(t, one, again, "what is known stays known")

	c.keys = seal.NewDataKeys(data).WithAudit(next, first)
	again, shared = get(0)
	require.True(t, shared)
	require.NotEqual(t, one, again, "it is sealed with the key that is current now")
}
