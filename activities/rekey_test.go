package activities

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// takeOver does what the API does with what the cell has sealed anew.
func (r *rig) takeOver() int {
	r.Helper()
	waiting, err := r.cell.Work().ListResealed(r.Context())
	require.NoError(r, err)
	for _, w := range waiting {
		require.NoError(r, r.api.Door().ReplaceCredential(r.Context(), w))
	}
	return len(waiting)
}

// TestCredentialsAreSealedAnew: the cell, and nobody else, seals credentials to the
// pair that follows; they are what was entered, and what never opened does not.
func TestCredentialsAreSealedAnew(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		p := r.process()
		former := r.private
		next, err := seal.NewPrivateKey()
		require.NoError(r, err)
		stranger, err := seal.NewPrivateKey()
		require.NoError(r, err)
		planted := r.connect("planted", r.setup)
		inner, err := seal.SealCredential(stranger.Public(), seal.Credential{
			Organization: r.org, Connection: planted.ID, Version: 1, Use: r.setup.Use, Values: map[string]string{"token": "canary-planted"},
		})
		require.NoError(r, err)
		r.put(planted.ID, 1, r.data.Seal(place.Credential(r.org, planted.ID, 1), inner))
		token, err := p.keys.SealToken(r.conn.ID, 1, []byte("refresh"))
		require.NoError(r, err)
		require.NoError(r, r.cell.Work().BeginRefresh(r.Context(), r.conn.ID, 1, 0, "test", 0))
		require.NoError(r, r.cell.Work().PutToken(r.Context(), store.Token{Connection: r.conn.ID, Version: 1, Refresher: "test", Sealed: token}, draft()))

		p.Adopt([]seal.PrivateKey{former, next}, r.data)
		p.Adopt([]seal.PrivateKey{next, former}, r.data)
		retiring := []seal.KeyID{former.Public().ID()}
		for range 2 { // The first may have been killed.
			clean, err := p.Reseal(r.Context(), nil, retiring)
			require.NoError(r, err)
			require.False(r, clean, "the API has not taken anything over yet")
		}
		require.Equal(r, 1, r.takeOver())
		clean, err := p.Reseal(r.Context(), nil, retiring)
		require.NoError(r, err)
		require.True(r, clean)
		require.Zero(r, r.takeOver())

		// Without the former half everything goes on, and what is planted stays shut.
		p.Adopt([]seal.PrivateKey{next}, r.data)
		row, err := r.api.Door().GetCredential(r.Context(), r.conn.ID, 1)
		require.NoError(r, err)
		opened, err := p.keys.Open(row.Sealed, r.conn.ID, 1)
		require.NoError(r, err)
		require.Equal(r, r.book.Token(), string(opened.Values["token"].Reveal()))
		require.Equal(r, r.setup.Use, opened.Use)
		row, err = r.api.Door().GetCredential(r.Context(), planted.ID, 1)
		require.NoError(r, err)
		_, err = p.keys.Open(row.Sealed, planted.ID, 1)
		require.Equal(r, schema.CodeRefused, schema.CodeOf(err))
		kept, err := r.cell.Work().GetToken(r.Context(), r.conn.ID, 1)
		require.NoError(r, err)
		plain, err := p.keys.OpenToken(r.conn.ID, 1, kept.Sealed)
		require.NoError(r, err)
		require.Equal(r, "refresh", string(plain))
		retired, err := r.cell.Work().Retired(r.Context())
		require.NoError(r, err)
		require.Len(r, retired, 2, "the pair, and the key of tokens that is derived from it")
		for _, k := range retired {
			require.True(r, k.Clean)
			require.Equal(r, 1, k.Broken)
		}
		require.NotContains(r, r.logged(), "canary")
	})
}

// TestCellSealsItsSideAnew: a running cell takes up keys, and seals with the new one
// at once what it writes, and what stands in time.
func TestCellSealsItsSideAnew(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		p := r.process()
		former, err := seal.NewDataKey()
		require.NoError(r, err)
		next, err := seal.NewDataKey()
		require.NoError(r, err)
		p.Adopt([]seal.PrivateKey{r.private}, seal.NewDataKeys(former))
		at := place.Custody(r.org, r.conn.ID)
		old := r.data.Seal(at, []byte("record"))
		require.NoError(r, r.cell.Work().PutCustody(r.Context(), store.Custody{Connection: r.conn.ID, Namespace: r.namespace, RecordSealed: old}))

		p.Adopt([]seal.PrivateKey{r.private}, seal.NewDataKeys(next, former))
		require.Equal(r, next.ID(), r.data.Current(), "every holder of the keys seals with the new one")
		require.NoError(r, p.Acknowledge(r.Context(), []seal.KeyID{next.ID(), former.ID()}))
		clean, err := p.Reseal(r.Context(), []seal.KeyID{former.ID()}, nil)
		require.NoError(r, err)
		require.True(r, clean)
		p.Adopt([]seal.PrivateKey{r.private}, seal.NewDataKeys(next))
		row, err := r.cell.Work().GetCustody(r.Context(), r.conn.ID)
		require.NoError(r, err)
		plain, err := r.data.Open(at, row.RecordSealed)
		require.NoError(r, err)
		require.Equal(r, "record", string(plain))
		_, err = r.data.Open(at, old)
		require.Equal(r, schema.CodeRefused, schema.CodeOf(err))
		entries, err := r.cell.Work().ListAudit(r.Context(), store.AuditFilter{Action: "key.unused"})
		require.NoError(r, err)
		require.Len(r, entries, 1)
	})
}
