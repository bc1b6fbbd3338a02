package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestActivationUndoesNothing: an organization that is not being provisioned any more
// stays as it is, and one that nobody knows is none.
func TestActivationUndoesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		ctx, c := t.Context(), b.Control(t)
		wantCode(t, schema.CodeNotFound, c.ActivateOrganization(ctx, "org_0", draft("activated", "")))
		for from, to := range map[string]string{
			store.OrganizationProvisioning: store.OrganizationActive,
			store.OrganizationActive:       store.OrganizationActive,
			store.OrganizationSuspended:    store.OrganizationSuspended,
			store.OrganizationPutBack:      store.OrganizationPutBack,
			store.OrganizationDeleting:     store.OrganizationDeleting,
		} {
			org := "org_" + from
			require.NoError(t, c.CreateOrganization(ctx, store.Organization{ID: org, Name: org, State: from}, draft("organization.create", org)))
			require.NoError(t, c.ActivateOrganization(ctx, org, draft("activated", org)))
			found, err := c.GetOrganization(ctx, org)
			require.NoError(t, err)
			require.Equal(t, to, found.State)
		}
		entries, err := c.ListAudit(ctx, store.AuditFilter{Action: "activated"})
		require.NoError(t, err)
		require.Len(t, entries, 1)
	})
}

func TestOrganizations(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		ctx, c := t.Context(), b.Control(t)
		o := store.Organization{ID: "org_1", Name: "Ärger & Söhne 'GmbH'", State: store.OrganizationActive, CreatedAt: at, UpdatedAt: at}
		require.NoError(t, c.CreateOrganization(ctx, o, draft("organization.create", o.ID)))
		wantCode(t, schema.CodeConflict, c.CreateOrganization(ctx, o, draft("organization.create", o.ID)))
		found, err := c.GetOrganization(ctx, o.ID)
		require.NoError(t, err)
		require.Equal(t, o, found)
		_, err = c.GetOrganization(ctx, "org_2")
		wantCode(t, schema.CodeNotFound, err)

		require.NoError(t, c.SetOrganizationState(ctx, o.ID, store.OrganizationSuspended, draft("organization.suspend", o.ID)))
		wantCode(t, schema.CodeNotFound, c.SetOrganizationState(ctx, "org_2", store.OrganizationSuspended, draft("no", "")))
		cell, err := c.GetCell(ctx, o.ID)
		require.NoError(t, err)
		require.Equal(t, store.CellSuspended, cell.State)

		require.NoError(t, c.CreateOrganization(ctx, store.Organization{ID: "org_2"}, draft("organization.create", "org_2")))
		all, err := c.ListOrganizations(ctx, "", 1)
		require.NoError(t, err)
		require.Len(t, all, 1)
		all, err = c.ListOrganizations(ctx, all[0].ID, 10)
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.Equal(t, "org_2", all[0].ID)

		log, err := c.ListAudit(ctx, store.AuditFilter{})
		require.NoError(t, err)
		require.Equal(t, []string{"organization.create", "organization.suspend", "organization.create"}, actions(log))
		_, err = c.VerifyAudit(ctx)
		require.NoError(t, err)
	})
}

func TestKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		ctx, c := t.Context(), b.Control(t)
		expires := at.Add(time.Hour)
		k := store.Key{
			ID: "key_1", Organization: "org_1", Namespace: "ns_1", Name: "ci", Hash: []byte{0, 255, 1},
			Permissions: []string{"runs:read", `odd "one", {x}`}, CreatedAt: at, CreatedBy: "key_0", ExpiresAt: &expires,
		}
		require.NoError(t, c.CreateKey(ctx, k, draft("key.create", k.ID)))
		found, err := c.GetKey(ctx, k.ID)
		require.NoError(t, err)
		require.Equal(t, k, found)

		wantCode(t, schema.CodeNotFound, c.RevokeKey(ctx, "org_2", k.ID, at, draft("key.revoke", k.ID)))
		require.NoError(t, c.RevokeKey(ctx, "org_1", k.ID, at, draft("key.revoke", k.ID)))
		require.NoError(t, c.RevokeKey(ctx, "org_1", k.ID, at.Add(time.Hour), draft("key.revoke", k.ID)))
		require.NoError(t, c.TouchKey(ctx, k.ID, at))
		found, err = c.GetKey(ctx, k.ID)
		require.NoError(t, err)
		require.Equal(t, at, *found.RevokedAt, "the first revocation counts")
		require.Equal(t, at, *found.LastUsedAt)

		require.NoError(t, c.CreateKey(ctx, store.Key{ID: "key_2"}, draft("key.create", "key_2")))
		platform, err := c.ListKeys(ctx, "")
		require.NoError(t, err)
		require.Len(t, platform, 1)
		require.Empty(t, platform[0].Permissions)
	})
}

func TestRoutesNeverMove(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		ctx, c := t.Context(), b.Control(t)
		require.NoError(t, c.PutRoute(ctx, store.Route{Source: "src_1", Organization: "org_1"}, draft("route.create", "src_1")))
		wantCode(t, schema.CodeConflict, c.PutRoute(ctx, store.Route{Source: "src_1", Organization: "org_2"}, draft("route.create", "src_1")))
		wantCode(t, schema.CodeNotFound, c.DeleteRoute(ctx, "org_2", "src_1", draft("route.delete", "src_1")))
		r, err := c.GetRoute(ctx, "src_1")
		require.NoError(t, err)
		require.Equal(t, "org_1", r.Organization)
		require.NoError(t, c.DeleteRoute(ctx, "org_1", "src_1", draft("route.delete", "src_1")))
		_, err = c.GetRoute(ctx, "src_1")
		wantCode(t, schema.CodeNotFound, err)
	})
}

func TestLeases(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		ctx, c := t.Context(), b.Control(t)
		for _, id := range []string{"org_1", "org_2", "org_3"} {
			require.NoError(t, c.CreateOrganization(ctx, store.Organization{ID: id, State: store.OrganizationActive}, draft("create", id)))
		}
		require.NoError(t, c.SetCellState(ctx, "org_3", store.CellDeleted))
		claimed, err := c.ClaimCells(ctx, "host_1", at.Add(time.Minute), at, 10)
		require.NoError(t, err)
		require.Len(t, claimed, 2)
		require.EqualValues(t, 1, claimed[0].Epoch)
		require.Equal(t, at.Add(time.Minute), claimed[0].LeaseUntil)

		none, err := c.ClaimCells(ctx, "host_2", at.Add(2*time.Minute), at.Add(59*time.Second), 10)
		require.NoError(t, err)
		require.Empty(t, none, "the lease is live")

		renewed, err := c.RenewCells(ctx, "host_1", at.Add(3*time.Minute))
		require.NoError(t, err)
		require.Len(t, renewed, 2)
		wantCode(t, schema.CodeNotFound, c.ReleaseCell(ctx, "host_2", "org_1", 1))
		wantCode(t, schema.CodeNotFound, c.ReleaseCell(ctx, "host_1", "org_1", 2))
		require.NoError(t, c.ReleaseCell(ctx, "host_1", "org_1", 1))

		taken, err := c.ClaimCells(ctx, "host_2", at.Add(9*time.Minute), at.Add(4*time.Minute), 1)
		require.NoError(t, err)
		require.Len(t, taken, 1)
		require.EqualValues(t, 2, taken[0].Epoch, "every owner has an epoch of its own")
		rest, err := c.ClaimCells(ctx, "host_2", at.Add(9*time.Minute), at.Add(4*time.Minute), 10)
		require.NoError(t, err)
		require.Len(t, rest, 1, "an expired lease is free")
	})
}

// TestACellSleepsOnlyWithoutWork lets a cell sleep under its owner's claim and
// only while nobody has touched it; a touch, its time, or a bell bring it back.
func TestACellSleepsOnlyWithoutWork(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		ctx, c, at := t.Context(), b.Control(t), time.Now().UTC().Truncate(time.Microsecond)
		require.NoError(t, c.CreateOrganization(ctx, store.Organization{ID: "org_1", State: store.OrganizationActive}, draft("create", "org_1")))
		claim := func() []store.CellRow {
			rows, err := c.ClaimCells(ctx, "host_1", at.Add(time.Minute), at, 10)
			require.NoError(t, err)
			return rows
		}
		require.Len(t, claim(), 1)
		require.NoError(t, c.TouchCell(ctx, "org_1"))
		wantCode(t, schema.CodeNotFound, c.TouchCell(ctx, "org_2"))
		wantCode(t, schema.CodeConflict, c.SleepCell(ctx, "host_1", "org_1", 1, 0, nil)) // There was a touch since.
		wantCode(t, schema.CodeConflict, c.SleepCell(ctx, "host_1", "org_1", 2, 1, nil))
		wantCode(t, schema.CodeConflict, c.SleepCell(ctx, "host_2", "org_1", 1, 1, nil))
		require.NoError(t, c.SleepCell(ctx, "host_1", "org_1", 1, 1, nil))
		require.Empty(t, claim(), "a sleeping cell is nobody's")
		next, err := c.NextWake(ctx)
		require.NoError(t, err)
		require.Nil(t, next)

		require.NoError(t, c.TouchCell(ctx, "org_1"))
		rows := claim()
		require.Len(t, rows, 1, "a touch is found without a bell")
		require.EqualValues(t, 2, rows[0].Epoch)

		due := at.Add(-time.Second)
		later := at.Add(time.Hour)
		require.NoError(t, c.SleepCell(ctx, "host_1", "org_1", 2, 2, &later))
		require.Empty(t, claim(), "it is not time yet")
		next, err = c.NextWake(ctx)
		require.NoError(t, err)
		require.Equal(t, later, *next)
		rows, err = c.ClaimCell(ctx, "host_2", "org_1", at.Add(time.Minute), at)
		require.NoError(t, err)
		require.Len(t, rows, 1, "a bell wakes it before its time")
		rows, err = c.ClaimCell(ctx, "host_1", "org_1", at.Add(time.Minute), at)
		require.NoError(t, err)
		require.Empty(t, rows, "it is another's")
		require.NoError(t, c.SleepCell(ctx, "host_2", "org_1", 3, 2, &due))
		rows = claim()
		require.Len(t, rows, 1, "its time has come")

		require.NoError(t, c.SleepCell(ctx, "host_1", "org_1", rows[0].Epoch, 2, nil))
		at = at.Add(-time.Hour)
		require.Empty(t, claim(), "whenever it fell asleep, it has nothing to wake for")
		at = at.Add(time.Hour)
		require.NoError(t, c.TouchCell(ctx, "org_1"))
		rows = claim()
		require.NoError(t, c.SleepCell(ctx, "host_1", "org_1", rows[0].Epoch, 3, &later))
		require.Empty(t, claim())
		at = at.Add(-time.Hour)
		require.Len(t, claim(), 1, "it fell asleep by a clock that was ahead")
	})
}
