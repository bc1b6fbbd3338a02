package platform_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/activities/platform"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// spread is how long a next key is known before it seals.
const spread = time.Millisecond

func noHistories(context.Context, string, time.Time) (int, error) { return 0, nil }

// rotate is the host that is killed: it takes the rotation from step to step.
func (o orders) rotate(ctx context.Context, p *platform.Platform) error {
	root, err := seal.ParsePrivateKey(o.RootPrivate)
	if err != nil {
		return err
	}
	r := platform.NewRotation(p, platform.RotationConfig{
		Root: func() ([]seal.PrivateKey, error) { return []seal.PrivateKey{root}, nil }, Histories: noHistories, Spread: spread,
	})
	for {
		if _, err := r.Step(ctx, o.Rotation); err != nil {
			return err
		}
	}
}

// rotating is an organization whose cell and API are played by the test: they
// learn keys and seal anew as they are told to.
type rotating struct {
	*site
	api, cell *store.Cell
	former    keystore.Entry
	// old is a value as it was sealed before, and noted a detail of the log.
	at         seal.Place
	old, noted []byte
}

func newRotating(s *site) *rotating {
	s.Helper()
	for _, activity := range steps(s.host()) {
		require.NoError(s, activity(s.Context(), s.Organization))
	}
	r := &rotating{site: s}
	var err error
	r.former, err = s.keys.Get(s.Context(), s.Organization)
	require.NoError(s, err)
	api, host := r.opened()
	open := func(encoded string, side store.Side) *store.Cell {
		urls, err := config.DecodeDatabases(encoded)
		require.NoError(s, err)
		c, err := store.OpenCell(s.Context(), store.CellURLs{Door: urls.Door, Work: urls.Work}, side)
		require.NoError(s, err)
		s.Cleanup(func() { require.NoError(s, c.Close()) })
		return c
	}
	r.api = open(api.Databases[keystore.DatabaseAPI], store.SideAPI)
	r.cell = open(host.Databases[keystore.DatabaseCell], store.SideCell)
	connection, namespace := schema.NewID(schema.PrefixConnection), schema.NewID(schema.PrefixNamespace)
	log := place.Audit(s.Organization, store.ChainDoor)
	r.noted = api.DataKeys.Seal(log, []byte(`"noted"`))
	act := store.AuditDraft{Actor: "test", Action: "test", DetailSealed: r.noted}
	require.NoError(s, r.api.Door().CreateNamespace(s.Context(), store.Namespace{ID: namespace, Name: "prod"}, act))
	r.at = place.Connection(s.Organization, connection)
	r.old = api.DataKeys.Seal(r.at, []byte("settings"))
	row := store.Connection{ID: connection, Namespace: namespace, Name: "books", Connector: "http", SettingsSealed: r.old}
	require.NoError(s, r.api.Door().CreateConnection(s.Context(), row, act))
	record := keystore.Set(host.DataKeys, nil).Seal(place.Custody(s.Organization, connection), []byte("record"))
	require.NoError(s, r.cell.Work().PutCustody(s.Context(), store.Custody{Connection: connection, Namespace: namespace, RecordSealed: record}))
	return r
}

func (r *rotating) opened() (keystore.APICell, keystore.HostCell) {
	r.Helper()
	api, err := r.keys.OpenForAPI(r.Context(), r.Organization, r.site.api)
	require.NoError(r, err)
	host, err := r.keys.OpenForHost(r.Context(), r.Organization, r.root)
	require.NoError(r, err)
	return api, host
}

// learn is the cell taking up its keys.
func (r *rotating) learn() {
	r.Helper()
	_, host := r.opened()
	var known []seal.KeyID
	for _, k := range host.Private {
		known = append(known, k.Public().ID())
	}
	for _, k := range host.DataKeys {
		known = append(known, k.ID())
	}
	text, err := json.Marshal(known)
	require.NoError(r, err)
	require.NoError(r, r.cell.Work().SetMeta(r.Context(), "keys", text))
}

// resealer is a side of a cell as its writer sees it.
type resealer interface {
	Retire(context.Context, string, [][]byte, store.AuditDraft) error
	Reseal(context.Context, []byte, func(store.SealedValue) ([]byte, error)) (int, error)
	Cleaned(context.Context, [][]byte, int, store.AuditDraft) error
}

// reseal is a side sealing anew what retires.
func (r *rotating) reseal(side resealer) {
	r.Helper()
	api, _ := r.opened()
	act := store.AuditDraft{Actor: "test", Action: "key.unused"}
	var ids [][]byte
	for _, id := range append(api.Retiring, api.RetiringPairs...) {
		ids = append(ids, id[:])
	}
	require.NoError(r, side.Retire(r.Context(), "data", ids, act))
	current := api.DataKeys.Current()
	_, err := side.Reseal(r.Context(), current[:], func(v store.SealedValue) ([]byte, error) {
		at := seal.Place{Organization: r.Organization, Table: v.Table, Row: v.Row, Field: v.Field}
		plain, err := api.DataKeys.Open(at, v.Sealed)
		return api.DataKeys.Seal(at, plain), err
	})
	require.NoError(r, err)
	require.NoError(r, side.Cleaned(r.Context(), ids, 0, act))
}

func (r *rotating) ask(kind keystore.Kind) string {
	r.Helper()
	id := schema.NewID(schema.PrefixRotation)
	require.NoError(r, r.control.RequestRotation(r.Context(), store.Rotation{ID: id, Organization: r.Organization, Kind: string(kind), RequestedBy: "test"},
		store.AuditDraft{Actor: "test", Action: "key.rotation_requested", Target: id}))
	return id
}

func (r *rotating) rotation(histories func(context.Context, string, time.Time) (int, error)) *platform.Rotation {
	return platform.NewRotation(r.host(), platform.RotationConfig{
		Root: func() ([]seal.PrivateKey, error) { return []seal.PrivateKey{r.root}, nil }, Histories: histories, Spread: spread,
	})
}

// step has another host take the next step, and returns what it waits for.
func (r *rotating) step(id, want string, histories func(context.Context, string, time.Time) (int, error)) string {
	r.Helper()
	state, err := r.rotation(histories).Step(r.Context(), id)
	require.NoError(r, err)
	require.Equal(r, want, state)
	row, err := r.control.GetRotation(r.Context(), id)
	require.NoError(r, err)
	require.Equal(r, want, row.State)
	return row.WaitsFor
}

// until has steps taken until the rotation is in the state.
func (r *rotating) until(id, state string) {
	r.Helper()
	require.Eventually(r, func() bool {
		got, err := r.rotation(noHistories).Step(r.Context(), id)
		return err == nil && got == state
	}, 20*time.Second, 2*time.Millisecond)
}

// replaced holds what must be true once a data key is destroyed.
func (r *rotating) replaced() {
	r.Helper()
	api, host := r.opened()
	require.Len(r, host.DataKeys, 1)
	require.NotEqual(r, r.former.DataKeys[0].ID, api.DataKeys.Current())
	for _, side := range []func(context.Context) ([]store.SealedCount, error){r.api.Door().SealedUnder, r.cell.Work().SealedUnder} {
		counts, err := side(r.Context())
		require.NoError(r, err)
		for _, n := range counts {
			if n.Table != seal.AuditTable {
				require.Equal(r, api.DataKeys.Current(), seal.KeyID(n.Key), "%s.%s", n.Table, n.Column)
			}
		}
	}
	_, err := api.DataKeys.Open(r.at, r.old)
	require.Equal(r, schema.CodeRefused, schema.CodeOf(err), "what the destroyed key sealed opens no more")
	_, err = api.DataKeys.Open(place.Audit(r.Organization, store.ChainDoor), r.noted)
	require.NoError(r, err, "the log is still read")
	_, err = r.api.Door().VerifyAudit(r.Context())
	require.NoError(r, err)
	_, err = r.cell.Work().VerifyAudit(r.Context())
	require.NoError(r, err)
}

// TestDataKeyRotation takes a rotation through its steps, each by another host, and
// each begun twice: the first was killed after it had changed the key store.
func TestDataKeyRotation(t *testing.T) {
	each(t, func(s *site) {
		r := newRotating(s)
		id := r.ask(keystore.KindData)
		to := keystore.Publics{Root: s.Root, API: s.API}
		change := func(do func(*keystore.Entry) error) {
			require.NoError(s, s.keys.Update(s.Context(), s.Organization, do))
		}

		change(func(e *keystore.Entry) error { return e.Prepare(keystore.KindData, id, to, s.root) })
		require.Empty(s, r.step(id, store.RotationPrepared, noHistories))
		api, _ := r.opened()
		require.Equal(s, r.former.DataKeys[0].ID, api.DataKeys.Current())
		require.Eventually(s, func() bool {
			return r.step(id, store.RotationPrepared, noHistories) == "the cell to know the next key"
		}, 10*time.Second, time.Millisecond)

		r.learn()
		change(func(e *keystore.Entry) error { return e.Switch(keystore.KindData, id, s.root) })
		require.Empty(s, r.step(id, store.RotationSwitched, noHistories))
		api, _ = r.opened()
		plain, err := api.DataKeys.Open(r.at, r.old)
		require.NoError(s, err, "what is not sealed anew yet opens")
		require.Equal(s, "settings", string(plain))

		require.Contains(s, r.step(id, store.RotationSwitched, noHistories), "the API to seal anew")
		r.reseal(r.api.Door())
		require.Contains(s, r.step(id, store.RotationSwitched, noHistories), "the cell to seal anew")
		r.reseal(r.cell.Work())
		open := func(_ context.Context, org string, before time.Time) (int, error) {
			require.Equal(s, s.Organization, org)
			require.False(s, before.IsZero())
			return 3, nil
		}
		require.Contains(s, r.step(id, store.RotationSwitched, open), "3 histories", "an open or retained history needs the key")
		failed := errors.New("the engine is away")
		_, err = r.rotation(func(context.Context, string, time.Time) (int, error) { return 0, failed }).Step(s.Context(), id)
		require.ErrorIs(s, err, failed)
		_, err = api.DataKeys.Open(r.at, r.old)
		require.NoError(s, err)

		change(func(e *keystore.Entry) error {
			retiring, pairs := e.Retiring()
			return e.Destroy(append(retiring, pairs...), nil, to, s.root)
		})
		r.step(id, store.RotationDone, open)
		r.step(id, store.RotationDone, open)
		r.replaced()
		entries, err := s.control.ListAudit(s.Context(), store.AuditFilter{Action: "key.rotation_done"})
		require.NoError(s, err)
		require.Len(s, entries, 1)
	})
}

// TestLiesDoNotDestroyKeys: a side that says it has sealed everything anew, and has
// not, is counted.
func TestLiesDoNotDestroyKeys(t *testing.T) {
	each(t, func(s *site) {
		r := newRotating(s)
		id := r.ask(keystore.KindData)
		r.until(id, store.RotationPrepared)
		r.learn()
		r.until(id, store.RotationSwitched)
		act := store.AuditDraft{Actor: "test", Action: "test"}
		former := r.former.DataKeys[0].ID
		require.NoError(s, r.api.Door().Retire(s.Context(), "data", [][]byte{former[:]}, act))
		require.NoError(s, r.api.Door().Cleaned(s.Context(), [][]byte{former[:]}, 0, act))
		r.reseal(r.cell.Work())
		require.Contains(s, r.step(id, store.RotationSwitched, noHistories), "1 values that are still under the former key on the side of the API")
		api, _ := r.opened()
		_, err := api.DataKeys.Open(r.at, r.old)
		require.NoError(s, err)
	})
}

// TestALateHostDestroysNothing: a host is held up after it has found the former key
// unused. Meanwhile another destroys that key, and the next rotation switches: what
// retires then is in use.
func TestALateHostDestroysNothing(t *testing.T) {
	each(t, func(s *site) {
		r := newRotating(s)
		begun := func() string {
			id := r.ask(keystore.KindData)
			r.until(id, store.RotationPrepared)
			r.learn()
			r.until(id, store.RotationSwitched)
			return id
		}
		id := begun()
		r.reseal(r.api.Door())
		r.reseal(r.cell.Work())
		api, _ := r.opened()
		used := api.DataKeys.Seal(r.at, []byte("settings"))
		late := func(context.Context, string, time.Time) (int, error) {
			r.until(id, store.RotationDone)
			begun()
			return 0, nil
		}
		_, err := r.rotation(late).Step(s.Context(), id)
		require.Equal(s, schema.CodeConflict, schema.CodeOf(err), "%v", err)
		api, _ = r.opened()
		require.Len(s, api.Retiring, 1)
		_, err = api.DataKeys.Open(r.at, used)
		require.NoError(s, err)
	})
}

// TestRotationEndsWithItsOrganization: the keys of a deleted organization are gone.
func TestRotationEndsWithItsOrganization(t *testing.T) {
	each(t, func(s *site) {
		r := newRotating(s)
		id := r.ask(keystore.KindCredential)
		r.until(id, store.RotationPrepared)
		require.NoError(s, s.keys.Delete(s.Context(), s.Organization))
		r.until(id, store.RotationDone)
	})
}

// TestKilledRotations kills the hosts of a rotation with -9 in each of its steps,
// again and again, while the API and the cell do their part.
func TestKilledRotations(t *testing.T) {
	for _, kind := range []keystore.Kind{keystore.KindData, keystore.KindCredential} {
		t.Run(string(kind), func(t *testing.T) {
			each(t, func(s *site) { killedRotation(s, kind) })
		})
	}
}

func killedRotation(s *site, kind keystore.Kind) {
	r := newRotating(s)
	_, former := r.opened()
	s.Rotation, s.RootPrivate = r.ask(kind), s.root.Reveal()
	rng := rand.New(rand.NewPCG(3, 4))
	// The sides do their part as the cell and the API would.
	follow := func() string {
		row, err := s.control.GetRotation(s.Context(), s.Rotation)
		require.NoError(s, err)
		switch row.State {
		case store.RotationPrepared:
			r.learn()
		case store.RotationSwitched:
			r.reseal(r.api.Door())
			r.reseal(r.cell.Work())
		}
		return row.State
	}
	killed := map[string]bool{}
	for state := follow(); state != store.RotationDone; state = follow() {
		if !killed[state] {
			killed[state] = true
			for range 3 {
				r.killedHost(time.Duration(rng.IntN(15)) * time.Millisecond)
			}
			continue
		}
		_, err := r.rotation(noHistories).Step(s.Context(), s.Rotation)
		require.NoError(s, err)
	}
	require.NotEmpty(s, killed)
	if kind == keystore.KindData {
		r.replaced()
		return
	}
	_, host := r.opened()
	require.Len(s, host.Private, 1, "the former pair is destroyed")
	require.NotEqual(s, former.Private[0].Public().ID(), host.Private[0].Public().ID())
	require.Equal(s, former.DataKeys[0].ID(), host.DataKeys[0].ID())
}

// killedHost runs a host in a process of its own, and kills it after a while.
func (r *rotating) killedHost(after time.Duration) {
	r.Helper()
	text, err := json.Marshal(r.orders)
	require.NoError(r, err)
	cmd := exec.CommandContext(r.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), ordersVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(r, err)
	require.NoError(r, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(r, err)
	require.Equal(r, "ready\n", line)
	<-time.After(after)
	require.NoError(r, cmd.Process.Kill())
	require.ErrorContains(r, cmd.Wait(), "killed")
}
