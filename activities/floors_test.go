package activities

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// copied copies both databases of the cell; back has an administrator with SQL put
// the copies in their place, and starts the next process.
func (v *vault) copied() (back func()) {
	v.Helper()
	v.leave()
	restore := v.backend.Copy(v.T, v.org)
	v.enter()
	return func() {
		v.leave()
		restore()
		v.enter()
	}
}

func (v *vault) leave() {
	v.Helper()
	for _, db := range []interface{ Close() error }{v.api, v.cell, v.door, v.work} {
		require.NoError(v, db.Close())
	}
}

func (v *vault) enter() {
	v.Helper()
	v.api, v.cell = storetest.Open(v.T, v.made.API, store.SideAPI), storetest.Open(v.T, v.made.Cell, store.SideCell)
	v.door, v.work = v.backend.Administrator(v.T, v.made, "door"), v.backend.Administrator(v.T, v.made, "work")
	v.restart()
	require.NoError(v, v.p.CompareFloors(v.Context()))
}

// TestBothSidesPutBack: who puts both databases of a cell back to one earlier
// time puts an older version of a credential back with all that the cell knew
// then. What is known apart from the databases stands against it: nothing is
// sent, it is on the record, and the connection is suspended until the credential
// is entered again, as a version that never was. Connections whose credentials
// are what they were go on (invariant 1).
func TestBothSidesPutBack(t *testing.T) {
	t.Parallel()
	since := map[string]func(v *vault, c store.Connection){
		"replaced": func(v *vault, c store.Connection) {
			v.save(c.ID, 2, 1, v.book.Token())
			require.Empty(v, v.bill(c.Name))
			_, err := v.api.Door().DestroyReplaced(v.Context(), c.ID, v.known(c.ID).Floor, draft())
			require.NoError(v, err)
		},
		"revoked": func(v *vault, c store.Connection) {
			require.NoError(v, v.api.Door().RevokeCredentials(v.Context(), store.Revocation{
				Connection: c.ID, Told: v.told(config.CredentialCommand{Connection: c.ID, Act: config.CredentialRevoked, Version: 1}), Audit: draft(),
			}))
			v.follow()
		},
		"suspended": func(v *vault, c store.Connection) {
			require.Error(v, v.p.custody.suspend(v.Context(), c, 1, "somebody tampered with it"))
		},
	}
	each(t, ledger.Keys, func(r *rig) {
		v := newVault(r)
		steady := v.connect("steady", v.setup)
		v.save(steady.ID, 1, 0, v.book.Token())
		victims := map[string]store.Connection{}
		for what := range since {
			c := v.connect(what, v.setup)
			v.save(c.ID, 1, 0, v.book.Token())
			victims[what] = c
		}
		for what, c := range victims {
			require.Empty(v, v.bill(c.Name), what)
		}
		require.Empty(v, v.bill("steady"))
		back := v.copied()
		for what, c := range victims {
			since[what](v, c)
		}

		back()
		before := v.book.Stats()
		for what, c := range victims {
			require.Equal(v, 1, v.audited("credential.put_back", c.ID), what)
			require.Equal(v, 1, v.audited("connection.suspended", c.ID), what)
			require.Contains(v, v.bill(c.Name), "suspended", what)
		}
		require.Equal(v, before, v.book.Stats(), "nothing was sent")
		require.Empty(v, v.bill("steady"), "what was not changed since is not suspended")

		// As often as it is tried, and for the next process.
		v.restart()
		require.NoError(v, v.p.CompareFloors(v.Context()))
		for what, c := range victims {
			require.Contains(v, v.bill(c.Name), "suspended", what)
			require.Equal(v, 1, v.audited("credential.put_back", c.ID), what)
		}

		for what, c := range victims {
			next, err := v.known(c.ID).Next(1)
			require.NoError(v, err)
			if what == "replaced" {
				require.Equal(v, 3, next, "version 2 was another")
			}
			v.save(c.ID, next, 0, v.book.Token())
			require.Empty(v, v.bill(c.Name), what)
		}
	})
}

// TestFloorsFollowTheRecord: what is kept apart is never ahead of the record of a
// database that was not put back, so nobody is suspended without a cause.
func TestFloorsFollowTheRecord(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		v := newVault(r)
		for version := 2; version <= 4; version++ {
			v.save(v.conn.ID, version, version-1, v.book.Token())
			require.Empty(v, v.bill("books"))
			require.Equal(v, v.known(v.conn.ID).Known(), v.floors[v.conn.ID])
			v.restart()
			require.NoError(v, v.p.CompareFloors(v.Context()))
			require.Zero(v, v.audited("credential.put_back", v.conn.ID))
		}
		// Lost, they are made anew from the record.
		clear(v.floors)
		v.restart()
		require.NoError(v, v.p.CompareFloors(v.Context()))
		require.Equal(v, config.Floor{Lowest: 4, Entered: 4}, v.floors[v.conn.ID])
		require.Empty(v, v.bill("books"))
	})
}
