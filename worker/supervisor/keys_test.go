package supervisor

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
)

// TestNothingIsWrappedToAFormerPair: a host that learns the next pair in time wraps
// to it; one that was started with an old copy, later or on another machine, wraps
// nothing: no key that is left would open it.
func TestNothingIsWrappedToAFormerPair(t *testing.T) {
	for _, side := range []keystore.Side{keystore.SideRoot, keystore.SideAPI} {
		t.Run(string(side), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "keys")
			pairs := map[keystore.Side]seal.PrivateKey{}
			host := func() *Host {
				keys, err := keystore.Open(dir)
				require.NoError(t, err)
				api := pairs[keystore.SideAPI].Public()
				return New(Config{Keys: keys, Root: pairs[keystore.SideRoot], API: func() (seal.PublicKey, error) { return api, nil }})
			}
			for _, s := range []keystore.Side{keystore.SideRoot, keystore.SideAPI} {
				var err error
				pairs[s], err = seal.NewPrivateKey()
				require.NoError(t, err)
			}
			running, late := host(), host()
			next, err := seal.NewPrivateKey()
			require.NoError(t, err)
			require.NoError(t, running.cfg.Keys.Announce(t.Context(), side, pairs[side], next))
			if side == keystore.SideRoot {
				to, err := running.publics()
				require.NoError(t, err)
				require.Equal(t, next.Public(), to.Root)
			}
			require.NoError(t, running.cfg.Keys.Withdraw(t.Context(), side))
			_, err = late.publics()
			require.Equal(t, schema.CodeUnavailable, schema.CodeOf(err), "%v", err)
			pairs[side] = next
			to, err := host().publics()
			require.NoError(t, err)
			require.Equal(t, keystore.Publics{Root: pairs[keystore.SideRoot].Public(), API: pairs[keystore.SideAPI].Public()}, to)
		})
	}
}
