package api_test

import (
	"context"
	"crypto/sha256"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// settled makes the API begin at once with what it would wait for.
func settled(c *api.Config) { c.Limits.Settle = time.Nanosecond }

// rotate asks for a rotation, and takes it as far as the host does before the API
// has its part to do.
func (o *tenant) rotate(kind keystore.Kind) api.Rotation {
	p := o.p
	p.t.Helper()
	var r api.Rotation
	p.must(http.StatusAccepted, p.call("POST", "/v1/organizations/"+o.org+"/cell-keys/rotations", o.all, `{"kind":"`+string(kind)+`"}`), &r)
	require.Equal(p.t, "requested", r.State)
	to := keystore.Publics{Root: p.root.Public(), API: p.private.Public()}
	for _, change := range []func(*keystore.Entry) error{
		func(e *keystore.Entry) error { return e.Prepare(kind, r.ID, to, p.root) },
		func(e *keystore.Entry) error { return e.Switch(kind, r.ID, p.root) },
	} {
		require.NoError(p.t, p.keys.Update(p.t.Context(), o.org, change))
	}
	act := store.AuditDraft{Actor: "host", Action: "key.rotation_switched", Target: r.ID}
	require.NoError(p.t, p.control.AdvanceRotation(p.t.Context(), r.ID, store.RotationRequested, store.RotationSwitched, act))
	return r
}

func (o *tenant) keysReport() api.CellKeys {
	o.p.t.Helper()
	var k api.CellKeys
	o.p.must(http.StatusOK, o.p.call("GET", "/v1/organizations/"+o.org+"/cell-keys", o.all, ""), &k)
	return k
}

// under is how many ciphertexts of a kind of key are under one in the state.
func under(k api.CellKeys, kind, state string) int {
	n := 0
	for _, x := range k.Keys {
		if x.Kind == kind && x.State == state {
			n += x.Sealed
		}
	}
	return n
}

// eachPlatform runs a test on both databases.
func eachPlatform(t *testing.T, test func(*platform)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) { test(newPlatformOn(t, t.TempDir(), b, settled)) })
}

// TestDataKeyIsReplacedOnline: what the API keeps is sealed anew, and the report
// says so; everything is read before, meanwhile and after.
func TestDataKeyIsReplacedOnline(t *testing.T) {
	t.Parallel()
	eachPlatform(t, func(p *platform) {
		o := p.tenant("acme")
		connection := o.connection("books", "bearer")
		flow := o.deploy(billing)
		before := o.keysReport()
		require.Positive(t, under(before, "data", "current"))
		require.Positive(t, under(before, "audit", "current"))

		o.rotate(keystore.KindData)
		p.must(http.StatusOK, p.call("GET", "/v1/connections/"+connection, o.bound, ""), nil)
		again := p.call("POST", "/v1/organizations/"+o.org+"/cell-keys/rotations", o.all, `{"kind":"data"}`)
		require.Equal(t, schema.CodeConflict, again.problem(t).Code)
		require.Eventually(t, func() bool { return under(o.keysReport(), "data", "retiring") == 0 }, 20*time.Second, 5*time.Millisecond)
		after := o.keysReport()
		require.Equal(t, under(before, "data", "current"), under(after, "data", "current"))
		require.Equal(t, before.Keys[0].ID, after.Keys[1].ID)
		require.Equal(t, "retiring", after.Keys[1].State)
		require.Positive(t, under(after, "audit", "older"), "the log is not sealed anew")
		require.Len(t, after.Rotations, 1)
		require.Len(t, after.Wrapped, 2)

		// The key may be destroyed now; nothing needs it.
		require.Eventually(t, func() bool {
			retired, err := p.cells[o.org].Door().Retired(t.Context())
			return err == nil && len(retired) == 1 && retired[0].Clean
		}, 20*time.Second, 5*time.Millisecond)
		to := keystore.Publics{Root: p.root.Public(), API: p.private.Public()}
		require.NoError(t, p.keys.Update(t.Context(), o.org, func(e *keystore.Entry) error {
			retiring, pairs := e.Retiring()
			return e.Destroy(append(retiring, pairs...), nil, to, p.root)
		}))
		p.must(http.StatusOK, p.call("GET", "/v1/connections/"+connection, o.bound, ""), nil)
		p.must(http.StatusOK, p.call("GET", "/v1/flows/"+flow+"/versions/1", o.bound, ""), nil)
		p.must(http.StatusOK, p.call("GET", "/v1/audit", o.all, ""), nil)
		require.Zero(t, under(o.keysReport(), "data", "retiring"))
	})
}

// TestCredentialsAreTakenOver: credentials that the cell sealed anew take the place
// of what they were made from, and of nothing else.
func TestCredentialsAreTakenOver(t *testing.T) {
	t.Parallel()
	eachPlatform(t, func(p *platform) {
		ctx, o := t.Context(), p.tenant("acme")
		connection := o.connection("books", "bearer")
		p.must(http.StatusOK, p.call("PUT", "/v1/connections/"+connection+"/credential", o.bound, `{"values":{"token":"canary-take-over"}}`), nil)
		cell := p.cells[o.org]
		former, err := cell.Door().GetCredential(ctx, connection, 1)
		require.NoError(t, err)
		o.rotate(keystore.KindCredential)
		require.Equal(t, 1, under(o.keysReport(), "credential", "retiring"))

		// The public half that clients are given is the next one at once.
		var sealing api.Sealing
		p.must(http.StatusOK, p.call("GET", "/v1/connections/"+connection+"/sealing", o.bound, ""), &sealing)
		host := p.host(o.org)
		require.Equal(t, host.Private[0].Public(), sealing.PublicKey)

		inner, err := seal.SealCredential(host.Private[0].Public(), seal.Credential{
			Organization: o.org, Connection: connection, Version: 1, Use: sealing.Use, Values: map[string]string{"token": "canary-take-over"},
		})
		require.NoError(t, err)
		keys := seal.NewDataKeys(host.DataKeys[0])
		again := keys.Seal(place.Credential(o.org, connection, 1), inner)
		require.NoError(t, cell.Work().PutResealed(ctx, store.Resealed{Connection: connection, Version: 1, Replaces: []byte("something else"), Sealed: again}))
		pass := func(done func() bool) { require.Eventually(t, done, 20*time.Second, 5*time.Millisecond) }
		untouched, err := cell.Door().GetCredential(ctx, connection, 1)
		require.NoError(t, err)
		require.Equal(t, former.Sealed, untouched.Sealed)

		sum := sha256.Sum256(former.Sealed)
		require.NoError(t, cell.Work().PutResealed(ctx, store.Resealed{Connection: connection, Version: 1, Replaces: sum[:], Sealed: again}))
		pass(func() bool {
			row, err := cell.Door().GetCredential(context.WithoutCancel(ctx), connection, 1)
			return err == nil && string(row.Sealed) == string(again)
		})
		pass(func() bool { return under(o.keysReport(), "credential", "retiring") == 0 })
		require.Equal(t, 1, under(o.keysReport(), "credential", "current"))
		pass(func() bool {
			retired, err := cell.Door().Retired(ctx)
			return err == nil && len(retired) == 1 && retired[0].Clean
		})
	})
}
