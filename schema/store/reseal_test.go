package store_test

import (
	"bytes"
	"database/sql"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// columns finds the columns of a side whose name says that they are sealed, and
// the triggers of the side.
func columns(t *testing.T, b storetest.Backend, db *sql.DB) (sealed []string, triggers string) {
	t.Helper()
	query, listed := `SELECT m.name || '.' || c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name LIKE '%sealed'`,
		`SELECT name FROM sqlite_master WHERE type = 'trigger'`
	if b.Name == "postgres" {
		query = `SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = current_schema() AND column_name LIKE '%sealed'`
		listed = `SELECT tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = current_schema()::regnamespace AND NOT tgisinternal`
	}
	read := func(query string) []string {
		rows, err := db.QueryContext(t.Context(), query)
		require.NoError(t, err)
		defer func() { require.NoError(t, rows.Close()) }()
		var out []string
		for rows.Next() {
			var s string
			require.NoError(t, rows.Scan(&s))
			out = append(out, s)
		}
		require.NoError(t, rows.Err())
		return out
	}
	return read(query), strings.Join(read(listed), " ")
}

// TestSealedColumnsAreKnown: whoever adds a sealed column also says how it is
// sealed anew, and has a retired key refused in it.
func TestSealedColumnsAreKnown(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		for _, side := range []string{store.ChainDoor, store.ChainWork} {
			found, triggers := columns(t, b, owner(t, b, made, side))
			known := store.SealedColumns(side)
			require.NotEmpty(t, found)
			n := 0
			for _, column := range found {
				if column == "audit.detail_sealed" || column == "acts.detail_sealed" {
					continue // They are append-only, and have keys of their own.
				}
				n++
				require.Contains(t, known, column, "how is it sealed anew?")
				table, _, _ := strings.Cut(column, ".")
				require.Contains(t, triggers, table+"_retired_insert", column)
				require.Contains(t, triggers, table+"_retired_update", column)
			}
			require.Len(t, known, n)
		}
	})
}

// sealedCell is a cell with a value in each sealed column, under one key.
type sealedCell struct {
	*testing.T
	org       string
	api, cell *store.Cell
	namespace store.Namespace
	run       store.Run
	places    map[string]seal.Place
}

func (s *sealedCell) seal(keys seal.DataKeys, at seal.Place) []byte {
	s.places[at.Table] = at
	return keys.Seal(at, []byte("value of "+at.Table))
}

func fillSealed(t *testing.T, org string, api, cell *store.Cell, keys seal.DataKeys) *sealedCell {
	t.Helper()
	s := &sealedCell{T: t, org: org, api: api, cell: cell, places: make(map[string]seal.Place)}
	ctx, d, w := t.Context(), api.Door(), cell.Work()
	s.namespace = namespace(t, d)
	conn := store.Connection{ID: schema.NewID(schema.PrefixConnection), Namespace: s.namespace.ID, Name: "books", Connector: "http"}
	conn.SettingsSealed = s.seal(keys, place.Connection(org, conn.ID))
	require.NoError(t, d.CreateConnection(ctx, conn, draft("connection.create", conn.ID)))
	require.NoError(t, d.PutCredential(ctx, store.Credential{
		ID: schema.NewID(schema.PrefixCredential), Connection: conn.ID, Version: 1, Sealed: s.seal(keys, place.Credential(org, conn.ID, 1)),
	}, 1, store.Command{ID: schema.NewID(schema.PrefixCommand), Namespace: s.namespace.ID}, draft("credential.write", conn.ID)))
	f := store.Flow{ID: schema.NewID(schema.PrefixFlow), Namespace: s.namespace.ID, Name: "bills"}
	v := store.FlowVersion{Digest: "digest", DocumentSealed: s.seal(keys, place.Flow(org, f.ID, 1)), CreatedBy: "key_test"}
	_, _, _, err := d.DeployFlow(ctx, f, v, draft("flow.deploy", f.ID))
	require.NoError(t, err)
	source := store.Source{ID: schema.NewID(schema.PrefixSource), Namespace: s.namespace.ID, Name: "shop", Flow: f.ID, Verifier: "standard"}
	source.ConfigSealed = s.seal(keys, place.Source(org, source.ID))
	require.NoError(t, d.CreateSource(ctx, source, draft("source.create", source.ID)))
	e := event(source.ID, "one")
	e.PayloadSealed = s.seal(keys, place.Event(org, e.ID))
	_, _, err = d.AcceptEvent(ctx, e, draft("event.accept", e.ID))
	require.NoError(t, err)
	s.run = started(t, w, 1)
	k := store.Command{ID: schema.NewID(schema.PrefixCommand), Namespace: s.namespace.ID, Run: s.run.ID, Kind: "cancel", By: "key_test"}
	k.ArgsSealed = s.seal(keys, place.Command(org, k.ID))
	_, err = d.AddCommand(ctx, k, draft("run.cancel", s.run.ID))
	require.NoError(t, err)
	st, ef := step(s.run.ID, "bill"), effect(s.run.ID, "bill")
	st.RecordSealed, ef.OutcomeSealed = s.seal(keys, place.Step(org, s.run.ID, "bill")), s.seal(keys, place.Effect(org, ef.ID))
	require.NoError(t, w.Commit(ctx, store.RunCommit{
		Run: s.run.ID, Carrier: s.run.Carrier, Epoch: s.run.Epoch, Steps: []store.Step{st}, Effects: []store.Effect{ef},
		End: &store.RunEnd{State: store.RunCompleted, ResultSealed: s.seal(keys, place.Run(org, s.run.ID)), At: at},
	}))
	require.NoError(t, w.PutCustody(ctx, store.Custody{
		Connection: conn.ID, Namespace: s.namespace.ID, RecordSealed: s.seal(keys, place.Custody(org, conn.ID)),
	}))
	alert := store.Alert{ID: schema.NewID(schema.PrefixAlert), Namespace: s.namespace.ID, Kind: store.AlertTest, Subject: s.namespace.ID}
	require.NoError(t, w.RaiseAlert(ctx, alert))
	alert.ErrorSealed = s.seal(keys, place.AlertError(org, alert.ID))
	require.NoError(t, w.PostponeAlerts(ctx, alert, at, at))
	return s
}

// under is how many values of both sides, the audit log aside, each key sealed.
func (s *sealedCell) under() map[seal.KeyID]int {
	s.Helper()
	out := make(map[seal.KeyID]int)
	door, err := s.api.Door().SealedUnder(s.Context())
	require.NoError(s, err)
	work, err := s.cell.Work().SealedUnder(s.Context())
	require.NoError(s, err)
	for _, n := range slices.Concat(door, work) {
		if n.Table != seal.AuditTable {
			out[seal.KeyID(n.Key)] += n.Rows
		}
	}
	return out
}

func dataKey(t *testing.T) seal.DataKey {
	t.Helper()
	k, err := seal.NewDataKey()
	require.NoError(t, err)
	return k
}

// TestReseal seals every column of both sides anew, each value in its place.
func TestReseal(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		org, made := b.Provision(t)
		former, next := dataKey(t), dataKey(t)
		s := fillSealed(t, org, storetest.Open(t, made.API, store.SideAPI), storetest.Open(t, made.Cell, store.SideCell), seal.NewDataKeys(former))
		filled := len(s.places)
		require.Equal(t, map[seal.KeyID]int{former.ID(): filled}, s.under())

		keys, current := seal.NewDataKeys(next, former), next.ID()
		again := func(v store.SealedValue) ([]byte, error) {
			at := seal.Place{Organization: org, Table: v.Table, Row: v.Row, Field: v.Field}
			require.Equal(t, s.places[v.Table], at)
			plain, err := keys.Open(at, v.Sealed)
			require.NoError(t, err)
			require.Equal(t, "value of "+v.Table, string(plain))
			return keys.Seal(at, plain), nil
		}
		door, err := s.api.Door().Reseal(t.Context(), current[:], again)
		require.NoError(t, err)
		work, err := s.cell.Work().Reseal(t.Context(), current[:], again)
		require.NoError(t, err)
		require.Equal(t, filled, door+work)
		require.Equal(t, map[seal.KeyID]int{next.ID(): filled}, s.under())
		// Repeated, it finds nothing to do.
		door, err = s.api.Door().Reseal(t.Context(), current[:], again)
		require.NoError(t, err)
		require.Zero(t, door)
		_, err = s.api.Door().VerifyAudit(t.Context())
		require.NoError(t, err)
		_, err = s.cell.Work().VerifyAudit(t.Context())
		require.NoError(t, err)
	})
}

// TestResealKeepsWhatWasChanged: a value that is written while it is sealed anew
// keeps what was written.
func TestResealKeepsWhatWasChanged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		api, _ := b.Sides(t)
		ns := namespace(t, api.Door())
		conn := store.Connection{ID: schema.NewID(schema.PrefixConnection), Namespace: ns.ID, Name: "books", Connector: "http", SettingsSealed: bytes.Repeat([]byte{1}, 60)}
		require.NoError(t, api.Door().CreateConnection(t.Context(), conn, draft("connection.create", conn.ID)))
		changed := bytes.Repeat([]byte{3}, 60)
		_, err := api.Door().Reseal(t.Context(), bytes.Repeat([]byte{3}, 8), func(store.SealedValue) ([]byte, error) {
			update := store.Connection{ID: conn.ID, Namespace: ns.ID, SettingsSealed: changed}
			return bytes.Repeat([]byte{2}, 60), api.Door().UpdateConnection(t.Context(), update, draft("connection.update", conn.ID))
		})
		require.NoError(t, err)
		got, err := api.Door().GetConnection(t.Context(), ns.ID, conn.ID)
		require.NoError(t, err)
		require.Equal(t, changed, got.SettingsSealed)
	})
}

// TestRetiredKeysSealNothing: a process that was away while its key was replaced
// writes nothing under it, on either side; what stands may still be worked on.
func TestRetiredKeysSealNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		org, made := b.Provision(t)
		former, next := dataKey(t), dataKey(t)
		old := seal.NewDataKeys(former)
		s := fillSealed(t, org, storetest.Open(t, made.API, store.SideAPI), storetest.Open(t, made.Cell, store.SideCell), old)
		open := started(t, s.cell.Work(), 2)
		id := former.ID()
		for range 2 {
			require.NoError(t, s.api.Door().Retire(t.Context(), "data", [][]byte{id[:]}, draft("key.retired", org)))
			require.NoError(t, s.cell.Work().Retire(t.Context(), "data", [][]byte{id[:]}, draft("key.retired", org)))
		}
		entries, err := s.api.Door().ListAudit(t.Context(), store.AuditFilter{Action: "key.retired"})
		require.NoError(t, err)
		require.Len(t, entries, 1, "what was retired before is not recorded again")

		late := event("src_1", "late")
		late.PayloadSealed = old.Seal(place.Event(org, late.ID), []byte("late"))
		_, _, err = s.api.Door().AcceptEvent(t.Context(), late, draft("event.accept", late.ID))
		wantCode(t, schema.CodeUnavailable, err)
		settings := store.Connection{ID: s.places["connections"].Row, Namespace: s.namespace.ID, SettingsSealed: old.Seal(s.places["connections"], []byte("late"))}
		wantCode(t, schema.CodeUnavailable, s.api.Door().UpdateConnection(t.Context(), settings, draft("connection.update", settings.ID)))
		st := step(open.ID, "late")
		st.RecordSealed = old.Seal(place.Step(org, open.ID, "late"), []byte("late"))
		commit := store.RunCommit{Run: open.ID, Carrier: open.Carrier, Epoch: open.Epoch, State: store.RunRunning, Steps: []store.Step{st}}
		wantCode(t, schema.CodeUnavailable, s.cell.Work().Commit(t.Context(), commit))

		// The row that still has its old value takes other changes; and what is
		// sealed with the next key is written.
		require.NoError(t, s.api.Door().UpdateConnection(t.Context(), store.Connection{ID: settings.ID, Namespace: s.namespace.ID, State: store.ConnectionSuspended}, draft("connection.update", settings.ID)))
		fresh := seal.NewDataKeys(next, former)
		late.PayloadSealed = fresh.Seal(place.Event(org, late.ID), []byte("late"))
		_, duplicate, err := s.api.Door().AcceptEvent(t.Context(), late, draft("event.accept", late.ID))
		require.NoError(t, err)
		require.False(t, duplicate)
		commit.Steps[0].RecordSealed = fresh.Seal(place.Step(org, open.ID, "late"), []byte("late"))
		require.NoError(t, s.cell.Work().Commit(t.Context(), commit))

		// A credential to a retired pair is refused by the pair's id.
		pair := []byte("pair 8 b")
		require.NoError(t, s.api.Door().Retire(t.Context(), "credential", [][]byte{pair}, draft("key.retired", org)))
		behind := store.Credential{
			ID: schema.NewID(schema.PrefixCredential), Connection: settings.ID, Version: 2, SealedTo: pair,
			Sealed: fresh.Seal(place.Credential(org, settings.ID, 2), []byte("sealed to a retired pair")),
		}
		told := store.Command{ID: schema.NewID(schema.PrefixCommand), Namespace: s.namespace.ID}
		wantCode(t, schema.CodeUnavailable, s.api.Door().PutCredential(t.Context(), behind, 1, told, draft("credential.write", settings.ID)))
		behind.SealedTo = []byte("pair 9 b")
		require.NoError(t, s.api.Door().PutCredential(t.Context(), behind, 1, told, draft("credential.write", settings.ID)))

		retired, err := s.cell.Work().Retired(t.Context())
		require.NoError(t, err)
		require.Len(t, retired, 1)
		require.False(t, retired[0].Clean)
		require.NoError(t, s.cell.Work().Cleaned(t.Context(), [][]byte{id[:]}, 2, draft("key.unused", org)))
		retired, err = s.cell.Work().Retired(t.Context())
		require.NoError(t, err)
		require.True(t, retired[0].Clean)
		require.Equal(t, 2, retired[0].Broken)
	})
}

// TestRotationsOneAtATime: a cell has one rotation at a time, and each step of it
// is recorded once.
func TestRotationsOneAtATime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		c, ctx := b.Control(t), t.Context()
		org := schema.NewID(schema.PrefixOrganization)
		require.NoError(t, c.CreateOrganization(ctx, store.Organization{ID: org, Name: "acme"}, draft("organization.create", org)))
		ask := func() (store.Rotation, error) {
			r := store.Rotation{ID: schema.NewID(schema.PrefixRotation), Organization: org, Kind: "data", RequestedBy: "key_test"}
			return r, c.RequestRotation(ctx, r, draft("key.rotation_requested", r.ID))
		}
		r, err := ask()
		require.NoError(t, err)
		_, err = ask()
		wantCode(t, schema.CodeConflict, err)
		for range 2 {
			require.NoError(t, c.AdvanceRotation(ctx, r.ID, store.RotationRequested, store.RotationPrepared, draft("key.rotation_prepared", r.ID)))
		}
		require.NoError(t, c.RotationWaits(ctx, r.ID, "the cell"))
		got, err := c.GetRotation(ctx, r.ID)
		require.NoError(t, err)
		require.Equal(t, []string{store.RotationPrepared, "the cell"}, []string{got.State, got.WaitsFor})
		entries, err := c.ListAudit(ctx, store.AuditFilter{Action: "key.rotation_prepared"})
		require.NoError(t, err)
		require.Len(t, entries, 1)
		require.NoError(t, c.AdvanceRotation(ctx, r.ID, store.RotationPrepared, store.RotationDone, draft("key.rotation_done", r.ID)))
		open, err := c.OpenRotations(ctx)
		require.NoError(t, err)
		require.Empty(t, open)
		_, err = ask()
		require.NoError(t, err)
		all, err := c.ListRotations(ctx, org, 10)
		require.NoError(t, err)
		require.Len(t, all, 2)
	})
}
