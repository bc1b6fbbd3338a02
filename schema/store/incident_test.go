package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// newOrganization is one with a key and a route.
func newOrganization(t *testing.T, c *store.Control) (org, key, source string) {
	t.Helper()
	org, key, source = schema.NewID(schema.PrefixOrganization), schema.NewID(schema.PrefixKey), schema.NewID(schema.PrefixSource)
	act := store.AuditDraft{Actor: "test", Action: "test"}
	require.NoError(t, c.CreateOrganization(t.Context(), store.Organization{ID: org, Name: "acme " + org, State: store.OrganizationActive}, act))
	require.NoError(t, c.CreateKey(t.Context(), store.Key{ID: key, Organization: org, Name: "k"}, act))
	require.NoError(t, c.PutRoute(t.Context(), store.Route{Source: source, Organization: org}, act))
	return org, key, source
}

func TestRevokeAccess(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		c := b.Control(t)
		org, key, _ := newOrganization(t, c)
		other, kept, _ := newOrganization(t, c)
		at := time.Now().UTC().Truncate(time.Microsecond)
		act := store.AuditDraft{Actor: "key_a", Action: "organization.revoke_everything", Target: org}
		keys, err := c.RevokeAccess(t.Context(), org, at, act)
		require.NoError(t, err)
		require.Equal(t, []string{key}, keys)
		k, err := c.GetKey(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, at, *k.RevokedAt)
		k, err = c.GetKey(t.Context(), kept)
		require.NoError(t, err)
		require.Nil(t, k.RevokedAt, "another organization's key")
		told, err := c.RevokedTokens(t.Context(), at.Add(-time.Hour))
		require.NoError(t, err)
		require.Equal(t, map[string]time.Time{org: at}, told)
		o, err := c.GetOrganization(t.Context(), other)
		require.NoError(t, err)
		require.Nil(t, o.TokensNotBefore)

		// Again: what was made since, and nothing twice.
		keys, err = c.RevokeAccess(t.Context(), org, at.Add(time.Second), act)
		require.NoError(t, err)
		require.Empty(t, keys)
		told, err = c.RevokedTokens(t.Context(), at)
		require.NoError(t, err)
		require.Len(t, told, 1)
		entries, err := c.ListAudit(t.Context(), store.AuditFilter{Action: "key.revoke"})
		require.NoError(t, err)
		require.Len(t, entries, 1)
		_, err = c.RevokeAccess(t.Context(), schema.NewID(schema.PrefixOrganization), at, act)
		require.Equal(t, schema.CodeNotFound, schema.CodeOf(err))
	})
}

func TestDeletionLeavesATombstone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		c := b.Control(t)
		org, key, source := newOrganization(t, c)
		_, kept, _ := newOrganization(t, c)
		begin := store.AuditDraft{Actor: "key_a", Action: "organization.delete", Target: org}
		end := store.AuditDraft{Actor: "host_a", Action: "organization.deleted", Target: org}
		require.Equal(t, schema.CodeConflict, schema.CodeOf(c.EndDeletion(t.Context(), org, end)), "an organization in use")
		for range 2 {
			require.NoError(t, c.BeginDeletion(t.Context(), org, begin))
		}
		_, err := c.GetKey(t.Context(), key)
		require.Equal(t, schema.CodeNotFound, schema.CodeOf(err))
		_, err = c.GetRoute(t.Context(), source)
		require.Equal(t, schema.CodeNotFound, schema.CodeOf(err))
		// Who read the state before must not undo it.
		err = c.SetOrganizationState(t.Context(), org, store.OrganizationActive, begin)
		require.Equal(t, schema.CodeNotFound, schema.CodeOf(err))
		deleting, err := c.DeletingOrganizations(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{org}, deleting)

		for range 2 {
			require.NoError(t, c.EndDeletion(t.Context(), org, end))
		}
		deleting, err = c.DeletingOrganizations(t.Context())
		require.NoError(t, err)
		require.Empty(t, deleting)
		deleted, err := c.DeletedOrganizations(t.Context(), time.Time{})
		require.NoError(t, err)
		require.Equal(t, []string{org}, deleted)
		deleted, err = c.DeletedOrganizations(t.Context(), time.Now().Add(time.Hour))
		require.NoError(t, err)
		require.Empty(t, deleted)
		gone, err := c.Deleted(t.Context(), org)
		require.NoError(t, err)
		require.True(t, gone)
		_, err = c.GetOrganization(t.Context(), org)
		require.Equal(t, schema.CodeNotFound, schema.CodeOf(err))
		_, err = c.GetCell(t.Context(), org)
		require.Equal(t, schema.CodeNotFound, schema.CodeOf(err))
		require.Equal(t, schema.CodeNotFound, schema.CodeOf(c.BeginDeletion(t.Context(), org, begin)))
		rows, err := c.ListOrganizations(t.Context(), "", 10)
		require.NoError(t, err)
		require.Len(t, rows, 1)
		_, err = c.GetKey(t.Context(), kept)
		require.NoError(t, err, "another organization's key")

		// The same id is never anybody's again, and the log says what became of it.
		err = c.CreateOrganization(t.Context(), store.Organization{ID: org, Name: "x"}, begin)
		require.Equal(t, schema.CodeConflict, schema.CodeOf(err))
		for _, action := range []string{"organization.delete", "organization.deleted"} {
			entries, err := c.ListAudit(t.Context(), store.AuditFilter{Action: action})
			require.NoError(t, err)
			require.Len(t, entries, 1, action)
		}
		_, err = c.VerifyAudit(t.Context())
		require.NoError(t, err)
	})
}
