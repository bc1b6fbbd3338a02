package activities

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// canary is a secret that must never be seen outside of a request.
const canary = "canary-7f3a9c51-secret"

// TestPlantedCredentials has somebody with the databases, or with the API,
// plant, move, swap and change credentials and connections: nothing is sent,
// the run is told, and no secret is in any error or log (invariants 1 and 3).
func TestPlantedCredentials(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tamper func(r *rig, victim store.Connection)
		want   string
	}{
		"sealed for another connection": {func(r *rig, v store.Connection) {
			r.credential(v.ID, r.conn.ID, 1, r.setup.Use, canary)
		}, flow.TypeAuthorization},
		"outer layer of another connection": {func(r *rig, v store.Connection) {
			inner := r.sealed(v.ID, 1, r.setup.Use)
			r.put(v.ID, 1, r.data.Seal(place.Credential(r.org, r.conn.ID, 1), inner))
		}, flow.TypeAuthorization},
		"row copied from another connection": {func(r *rig, v store.Connection) {
			row, err := r.api.Door().GetCredential(r.Context(), r.conn.ID, 1)
			require.NoError(r, err)
			r.put(v.ID, 1, row.Sealed)
		}, flow.TypeAuthorization},
		"another version": {func(r *rig, v store.Connection) {
			inner := r.sealed(v.ID, 2, r.setup.Use)
			r.put(v.ID, 1, r.data.Seal(place.Credential(r.org, v.ID, 1), inner))
		}, flow.TypeAuthorization},
		"another organization": {func(r *rig, v store.Connection) {
			inner, err := seal.SealCredential(r.private.Public(), seal.Credential{
				Organization: schema.NewID(schema.PrefixOrganization), Connection: v.ID, Version: 1, Use: r.setup.Use, Values: map[string]string{"token": canary},
			})
			require.NoError(r, err)
			r.put(v.ID, 1, r.data.Seal(place.Credential(r.org, v.ID, 1), inner))
		}, flow.TypeAuthorization},
		"another cell's key": {func(r *rig, v store.Connection) {
			foreign, err := seal.NewPrivateKey()
			require.NoError(r, err)
			inner, err := seal.SealCredential(foreign.Public(), seal.Credential{
				Organization: r.org, Connection: v.ID, Version: 1, Use: r.setup.Use, Values: map[string]string{"token": canary},
			})
			require.NoError(r, err)
			r.put(v.ID, 1, r.data.Seal(place.Credential(r.org, v.ID, 1), inner))
		}, flow.TypeAuthorization},
		"no outer layer": {func(r *rig, v store.Connection) {
			r.put(v.ID, 1, r.sealed(v.ID, 1, r.setup.Use))
		}, flow.TypeAuthorization},
		"another data key": {func(r *rig, v store.Connection) {
			key, err := seal.NewDataKey()
			require.NoError(r, err)
			r.put(v.ID, 1, seal.NewDataKeys(key).Seal(place.Credential(r.org, v.ID, 1), r.sealed(v.ID, 1, r.setup.Use)))
		}, flow.TypeAuthorization},
		"plaintext": {func(r *rig, v store.Connection) {
			r.put(v.ID, 1, []byte(`{"values":{"token":"`+canary+`"}}`))
		}, flow.TypeAuthorization},
		"flipped": {func(r *rig, v store.Connection) {
			outer := r.data.Seal(place.Credential(r.org, v.ID, 1), r.sealed(v.ID, 1, r.setup.Use))
			outer[len(outer)-1] ^= 1
			r.put(v.ID, 1, outer)
		}, flow.TypeAuthorization},
		"entered for another host": {func(r *rig, v store.Connection) {
			use := r.setup.Use
			use.Hosts = []string{"other.example.com"}
			r.put(v.ID, 1, r.data.Seal(place.Credential(r.org, v.ID, 1), r.sealed(v.ID, 1, use)))
		}, flow.TypeAuthorization},
		"entered for more hosts": {func(r *rig, v store.Connection) {
			use := r.setup.Use
			use.Hosts = append([]string{"other.example.com"}, use.Hosts...)
			r.put(v.ID, 1, r.data.Seal(place.Credential(r.org, v.ID, 1), r.sealed(v.ID, 1, use)))
		}, flow.TypeAuthorization},
		"entered for another place in the request": {func(r *rig, v store.Connection) {
			use := r.setup.Use
			use.PathPrefix = "/suppliers"
			r.put(v.ID, 1, r.data.Seal(place.Credential(r.org, v.ID, 1), r.sealed(v.ID, 1, use)))
		}, flow.TypeAuthorization},
		"the connection changed after it was entered": {func(r *rig, v store.Connection) {
			r.put(v.ID, 1, r.data.Seal(place.Credential(r.org, v.ID, 1), r.sealed(v.ID, 1, r.setup.Use)))
			setup := r.setup
			setup.Use.PlainHTTP = true
			r.resettle(v, setup)
		}, flow.TypeAuthorization},
		"settings of another connection": {func(r *rig, v store.Connection) {
			r.put(v.ID, 1, r.data.Seal(place.Credential(r.org, v.ID, 1), r.sealed(v.ID, 1, r.setup.Use)))
			require.NoError(r, r.api.Door().UpdateConnection(r.Context(), store.Connection{
				ID: v.ID, Namespace: r.namespace, SettingsSealed: r.data.Seal(place.Connection(r.org, r.conn.ID), mustJSONOf(r.T, r.setup)),
			}, draft()))
		}, flow.TypeAuthorization},
		"revoked": {func(r *rig, v store.Connection) {
			r.put(v.ID, 1, r.data.Seal(place.Credential(r.org, v.ID, 1), r.sealed(v.ID, 1, r.setup.Use)))
			require.NoError(r, r.api.Door().RevokeCredentials(r.Context(), store.Revocation{
				Connection: v.ID, Told: r.told(config.CredentialCommand{Connection: v.ID, Act: config.CredentialRevoked, Version: 1}), Audit: draft(),
			}))
		}, flow.TypeAuthorization},
		"suspended": {func(r *rig, v store.Connection) {
			r.put(v.ID, 1, r.data.Seal(place.Credential(r.org, v.ID, 1), r.sealed(v.ID, 1, r.setup.Use)))
			require.NoError(r, r.api.Door().UpdateConnection(r.Context(), store.Connection{ID: v.ID, Namespace: r.namespace, State: store.ConnectionSuspended}, draft()))
		}, flow.TypeAuthorization},
		"deleted": {func(r *rig, v store.Connection) {
			require.NoError(r, r.api.Door().UpdateConnection(r.Context(), store.Connection{ID: v.ID, Namespace: r.namespace, State: store.ConnectionDeleted}, draft()))
		}, flow.TypeConfiguration},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, ledger.Keys, func(r *rig) {
				victim := r.connect("victim", r.setup)
				c.tamper(r, victim)
				r.refused("victim", c.want)
			})
		})
	}
}

// TestForeignConnections names connections that are not the run's to use: another
// namespace's, another organization's, nobody's. The answers do not tell which, and
// each is a failed run on record.
func TestForeignConnections(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, foreignConnections)
}

func foreignConnections(r *rig) {
	t := r.T
	stranger := newRig(t, r.backend, ledger.Keys)
	other := schema.NewID(schema.PrefixNamespace)
	require.NoError(t, r.api.Door().CreateNamespace(t.Context(), store.Namespace{ID: other, Name: "staging"}, draft()))
	foreign := store.Connection{ID: schema.NewID(schema.PrefixConnection), Namespace: other, Name: "theirs", Connector: "http"}
	foreign.SettingsSealed = r.data.Seal(place.Connection(r.org, foreign.ID), mustJSONOf(t, r.setup))
	require.NoError(t, r.api.Door().CreateConnection(t.Context(), foreign, draft()))
	r.credential(foreign.ID, foreign.ID, 1, r.setup.Use, r.book.Token())
	wrong := store.Connection{ID: schema.NewID(schema.PrefixConnection), Namespace: r.namespace, Name: "wrong", Connector: "smtp"}
	wrong.SettingsSealed = r.data.Seal(place.Connection(r.org, wrong.ID), mustJSONOf(t, r.setup))
	require.NoError(t, r.api.Door().CreateConnection(t.Context(), wrong, draft()))
	for _, name := range []string{"wrong", wrong.ID} {
		r.refused(name, flow.TypeConfiguration)
	}
	told := map[string]bool{}
	for _, name := range []string{"theirs", foreign.ID, stranger.conn.ID, schema.NewID(schema.PrefixConnection)} {
		told[strings.ReplaceAll(r.refused(name, flow.TypeConfiguration), name, "NAME")] = true
	}
	require.Len(t, told, 1, "%v", told)
	require.Zero(t, stranger.book.Stats().Creations)
}

// TestPreviousVersion: a rotation between reading the connection and opening
// its credential does not fail a call.
func TestPreviousVersion(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		n, p := r.start(r.deploy(billFlow), `{"order":"O-1"}`), r.process()
		p.plug.before = func() { r.credential(r.conn.ID, r.conn.ID, 2, r.setup.Use, r.book.Token()) }
		require.Nil(r, p.done(n.whole(billTask)).Fault)
		require.Equal(r, 1, r.book.Stats().Bills)
	})
}

func (r *rig) sealed(connection string, version int, use seal.Use) []byte {
	r.Helper()
	inner, err := seal.SealCredential(r.private.Public(), seal.Credential{
		Organization: r.org, Connection: connection, Version: version, Use: use, Values: map[string]string{"token": canary},
	})
	require.NoError(r, err)
	return inner
}

func (r *rig) resettle(c store.Connection, setup config.Connection) {
	r.Helper()
	require.NoError(r, r.api.Door().UpdateConnection(r.Context(), store.Connection{
		ID: c.ID, Namespace: r.namespace, SettingsSealed: r.data.Seal(place.Connection(r.org, c.ID), mustJSONOf(r.T, setup)),
	}, draft()))
}

// refused runs a flow over the connection and wants a fault of the type, with
// nothing sent and nothing begun.
func (r *rig) refused(connection, want string) (detail string) {
	r.Helper()
	doc := r.deploy(`
do:
  - call:
      call: http
      with: { method: post, endpoint: { uri: /bills, authentication: { use: ` + connection + ` } }, body: { a: 1 } }
`)
	n, p := r.start(doc, `{"order":"O-1"}`), r.process()
	res := p.done(n.whole("/do/0/call"))
	require.NotNil(r, res.Fault, connection)
	require.Equal(r, want, res.Fault.Type, p.value(n, res.Fault.Ref))
	stats := r.book.Stats()
	require.Zero(r, stats.Creations+stats.Unauthorized, "something was sent")
	require.Empty(r, n.effects())
	told := p.value(n, res.Fault.Ref)
	require.NotContains(r, told+r.logged(), canary)
	var object map[string]any
	require.NoError(r, json.Unmarshal([]byte(told), &object))
	require.NotEmpty(r, object["detail"])
	require.NoError(r, p.Finish(r.Context(), task.FinishRequest{Owner: n.owner(), Key: ":finish", Fault: res.Fault}))
	entries, err := r.cell.Work().ListAudit(r.Context(), store.AuditFilter{Action: "run.failed", Target: n.ID})
	require.NoError(r, err)
	require.Len(r, entries, 1)
	detail, _ = object["detail"].(string)
	return detail
}
