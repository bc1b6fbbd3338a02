package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

func TestNamespaces(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		api, cell := b.Sides(t)
		ctx, d := t.Context(), api.Door()
		n := namespace(t, d)
		wantCode(t, schema.CodeConflict, d.CreateNamespace(ctx, store.Namespace{ID: schema.NewID(schema.PrefixNamespace), Name: n.Name}, draft("no", "")))
		for _, by := range []string{n.ID, n.Name} {
			found, err := cell.Door().GetNamespace(ctx, by)
			require.NoError(t, err)
			require.Equal(t, n, found)
		}
		impostor := store.Namespace{ID: schema.NewID(schema.PrefixNamespace), Name: n.ID}
		require.NoError(t, d.CreateNamespace(ctx, impostor, draft("namespace.create", impostor.ID)))
		found, err := d.GetNamespace(ctx, n.ID)
		require.NoError(t, err)
		require.Equal(t, n.ID, found.ID, "a name that looks like an id does not stand in for it")
		all, err := d.ListNamespaces(ctx)
		require.NoError(t, err)
		require.Len(t, all, 2)
	})
}

func TestConnectionsAndCredentials(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		api, cell := b.Sides(t)
		ctx, d := t.Context(), api.Door()
		n, other := namespace(t, d), namespace(t, d)
		c := store.Connection{
			ID: schema.NewID(schema.PrefixConnection), Namespace: n.ID, Name: "books", Connector: "http", SettingsSealed: []byte{0, 1},
			State: store.ConnectionActive, Scheme: "bearer", CreatedAt: at, UpdatedAt: at,
		}
		require.NoError(t, d.CreateConnection(ctx, c, draft("connection.create", c.ID)))
		for _, by := range []string{c.ID, c.Name} {
			found, err := cell.Door().GetConnection(ctx, n.ID, by)
			require.NoError(t, err)
			require.Equal(t, c, found)
			_, err = d.GetConnection(ctx, other.ID, by)
			wantCode(t, schema.CodeNotFound, err)
		}

		put := func(version int) error {
			k := store.Credential{ID: schema.NewID(schema.PrefixCredential), Connection: c.ID, Version: version, Sealed: []byte{9, byte(version)}, CreatedBy: "key_1"}
			return d.PutCredential(ctx, k, version-1, store.Command{ID: schema.NewID(schema.PrefixCommand), Namespace: n.ID, Kind: "credential", By: "key_1"}, draft("credential.create", k.ID))
		}
		require.NoError(t, put(1))
		wantCode(t, schema.CodeConflict, put(1))
		require.NoError(t, put(2))
		wantCode(t, schema.CodeConflict, put(1))
		first, err := cell.Door().GetCredential(ctx, c.ID, 1)
		require.NoError(t, err)
		require.Equal(t, store.CredentialPrevious, first.State)
		found, err := d.GetConnection(ctx, n.ID, c.ID)
		require.NoError(t, err)
		require.Equal(t, 2, found.CredentialVersion)

		live, err := cell.Door().LiveCredentials(ctx, c.ID)
		require.NoError(t, err)
		require.Len(t, live, 2)
		require.Equal(t, 2, live[0].Version)
		rotating, err := d.Rotating(ctx)
		require.NoError(t, err)
		require.Equal(t, []store.Connection{found}, rotating)
		ended, err := d.DestroyReplaced(ctx, c.ID, 2, draft("credential.destroy", c.ID))
		require.NoError(t, err)
		require.True(t, ended)
		ended, err = d.DestroyReplaced(ctx, c.ID, 2, draft("credential.destroy", c.ID))
		require.NoError(t, err)
		require.False(t, ended)
		gone := func(version int, state string) {
			k, err := d.GetCredential(ctx, c.ID, version)
			require.NoError(t, err)
			require.Equal(t, state, k.State)
			require.Empty(t, k.Sealed, "its ciphertext is gone")
		}
		gone(1, store.CredentialReplaced)

		// Of three, the one that is kept and the newest stay.
		require.NoError(t, put(3))
		k := store.Credential{ID: schema.NewID(schema.PrefixCredential), Connection: c.ID, Version: 4, Sealed: []byte{4}}
		require.NoError(t, d.PutCredential(ctx, k, 2, store.Command{ID: schema.NewID(schema.PrefixCommand)}, draft("credential.create", k.ID)))
		gone(3, store.CredentialReplaced)
		latest, err := d.LatestCredentials(ctx, n.ID)
		require.NoError(t, err)
		require.Len(t, latest, 1)
		require.Equal(t, 4, latest[0].Version)

		told, err := cell.Door().CommandsAfter(ctx, 0, 100)
		require.NoError(t, err)
		require.Len(t, told, 4, "the cell is told of each")
		revoke := store.Revocation{Connection: c.ID, Told: store.Command{ID: schema.NewID(schema.PrefixCommand)}, Audit: draft("credential.revoke", c.ID)}
		require.NoError(t, d.RevokeCredentials(ctx, revoke))
		revoke.Told.ID = schema.NewID(schema.PrefixCommand)
		require.NoError(t, d.RevokeCredentials(ctx, revoke))
		gone(2, store.CredentialRevoked)
		gone(4, store.CredentialRevoked)
		told, err = cell.Door().CommandsAfter(ctx, 0, 100)
		require.NoError(t, err)
		require.Len(t, told, 5, "revoked once")

		wantCode(t, schema.CodeNotFound, d.UpdateConnection(ctx, store.Connection{ID: c.ID, Namespace: other.ID, State: store.ConnectionDeleted}, draft("no", "")))
		require.NoError(t, d.UpdateConnection(ctx, store.Connection{ID: c.ID, Namespace: n.ID, State: store.ConnectionDeleted}, draft("connection.delete", c.ID)))
		wantCode(t, schema.CodeNotFound, put(5))
		_, err = d.GetConnection(ctx, n.ID, c.Name)
		wantCode(t, schema.CodeNotFound, err)
		c.ID = schema.NewID(schema.PrefixConnection)
		require.NoError(t, d.CreateConnection(ctx, c, draft("connection.create", c.ID)), "the name is free again")
		all, err := d.ListConnections(ctx, n.ID)
		require.NoError(t, err)
		require.Len(t, all, 1)
	})
}

func TestFlowsAndSources(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		api, cell := b.Sides(t)
		ctx, d := t.Context(), api.Door()
		n := namespace(t, d)
		deploy := func(id, digest string, version int) (store.Flow, store.FlowVersion, bool, error) {
			return d.DeployFlow(ctx, store.Flow{ID: id, Namespace: n.ID, Name: "bill"},
				store.FlowVersion{Digest: digest, Version: version, DocumentSealed: []byte(digest), Straight: true}, draft("flow.deploy", ""))
		}
		f, v, created, err := deploy("", "one", 0)
		require.NoError(t, err)
		require.True(t, created)
		require.Equal(t, 1, v.Version)
		_, _, created, err = deploy("", "one", 0)
		require.NoError(t, err)
		require.False(t, created, "the same document adds no version")
		_, _, _, err = deploy(f.ID, "two", 3)
		wantCode(t, schema.CodeConflict, err)
		_, _, _, err = deploy(schema.NewID(schema.PrefixFlow), "two", 2)
		wantCode(t, schema.CodeConflict, err)
		_, v, created, err = deploy(f.ID, "two", 2)
		require.NoError(t, err)
		require.True(t, created)
		require.Equal(t, 2, v.Version)

		got, err := cell.Door().GetFlow(ctx, n.ID, "bill")
		require.NoError(t, err)
		require.Equal(t, 2, got.Latest)
		byDigest, err := cell.Door().GetFlowVersionByDigest(ctx, "one")
		require.NoError(t, err)
		require.Equal(t, 1, byDigest.Version)
		require.True(t, byDigest.Straight)
		versions, err := d.ListFlowVersions(ctx, f.ID)
		require.NoError(t, err)
		require.Len(t, versions, 2)

		s := store.Source{ID: schema.NewID(schema.PrefixSource), Namespace: n.ID, Name: "shop", Flow: f.ID, ConfigSealed: []byte{1}}
		wantCode(t, schema.CodeInvalid, d.CreateSource(ctx, s, draft("source.create", s.ID)))
		s.Verifier = "standard-webhooks"
		require.NoError(t, d.CreateSource(ctx, s, draft("source.create", s.ID)))
		require.NoError(t, d.SetSourceState(ctx, n.ID, s.ID, store.SourceDeleted, draft("source.delete", s.ID)))
		all, err := d.ListSources(ctx, n.ID)
		require.NoError(t, err)
		require.Empty(t, all)
		kept, err := d.GetSource(ctx, s.ID)
		require.NoError(t, err)
		require.Equal(t, store.SourceDeleted, kept.State)
	})
}

func TestEvents(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		api, cell := b.Sides(t)
		ctx, d := t.Context(), api.Door()
		first := accepted(t, d, "a")
		again, duplicate, err := d.AcceptEvent(ctx, event("src_1", "a"), draft("event.accept", ""))
		require.NoError(t, err)
		require.True(t, duplicate)
		require.Equal(t, first, again)
		other, duplicate, err := d.AcceptEvent(ctx, event("src_2", "a"), draft("event.accept", ""))
		require.NoError(t, err)
		require.False(t, duplicate, "keys are unique for their source only")
		require.Greater(t, other.Seq, first.Seq)
		third := accepted(t, d, "c")

		seen, err := cell.Door().EventsAfter(ctx, first.Seq, 10)
		require.NoError(t, err)
		require.Equal(t, []store.Event{other, third}, seen)
		_, err = d.GetEvent(ctx, "ns_other", first.ID)
		wantCode(t, schema.CodeNotFound, err)
		page, err := d.ListEvents(ctx, "ns_test", store.Page{Limit: 2})
		require.NoError(t, err)
		require.Equal(t, []store.Event{third, other}, page)
		page, err = d.ListEvents(ctx, "ns_test", store.Page{After: other.ID, Limit: 2})
		require.NoError(t, err)
		require.Equal(t, []store.Event{first}, page)

		log, err := d.ListAudit(ctx, store.AuditFilter{Action: "event.accept"})
		require.NoError(t, err)
		require.Len(t, log, 3, "a duplicate is no act")
		_, _, err = cell.Door().AcceptEvent(ctx, event("src_1", "z"), draft("no", ""))
		wantCode(t, schema.CodeForbidden, err)
	})
}

func TestCommands(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		api, cell := b.Sides(t)
		ctx := t.Context()
		c := store.Command{ID: schema.NewID(schema.PrefixCommand), Namespace: "ns_test", Run: "run_1", Kind: "cancel", ArgsSealed: []byte{1}, By: "key_1", CreatedAt: at}
		kept, err := api.Door().AddCommand(ctx, c, draft("run.cancel", "run_1"))
		require.NoError(t, err)
		require.Positive(t, kept.Seq)
		_, err = api.Door().AddCommand(ctx, c, draft("run.cancel", "run_1"))
		wantCode(t, schema.CodeConflict, err)
		all, err := cell.Door().CommandsAfter(ctx, 0, 10)
		require.NoError(t, err)
		require.Equal(t, []store.Command{kept}, all)
	})
}
