package store_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// chain returns n entries, oldest first.
func chain(t *testing.T, d *store.Door, n int) []store.AuditEntry {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			assert.NoError(t, d.AppendAudit(t.Context(), draft(fmt.Sprint("act.", i), "target")))
		})
	}
	wg.Wait()
	entries, err := d.ListAudit(t.Context(), store.AuditFilter{Limit: n})
	require.NoError(t, err)
	slices.Reverse(entries)
	return entries
}

func TestVerifyAuditFindsTampering(t *testing.T) {
	api, _ := storetest.SQLite(t).Sides(t)
	good := chain(t, api.Door(), 6)
	head := store.AuditHead{Seq: good[5].Seq, Hash: good[5].Hash}
	require.NoError(t, store.VerifyAudit(good, head, store.AuditHead{Seq: 3, Hash: good[2].Hash}))
	require.NoError(t, store.VerifyAudit(good[2:]), "a part of a chain")

	edit := func(change func(*store.AuditEntry)) func([]store.AuditEntry) []store.AuditEntry {
		return func(e []store.AuditEntry) []store.AuditEntry { change(&e[2]); return e }
	}
	for name, c := range map[string]struct {
		tamper func([]store.AuditEntry) []store.AuditEntry
		at     int
	}{
		"actor":     {edit(func(e *store.AuditEntry) { e.Actor = "other" }), 3},
		"action":    {edit(func(e *store.AuditEntry) { e.Action = "other" }), 3},
		"target":    {edit(func(e *store.AuditEntry) { e.Target = "other" }), 3},
		"namespace": {edit(func(e *store.AuditEntry) { e.Namespace = "" }), 3},
		"moved boundary": {edit(func(e *store.AuditEntry) {
			e.Actor, e.Action = e.Actor+e.Action[:1], e.Action[1:]
		}), 3},
		"time":     {edit(func(e *store.AuditEntry) { e.At = e.At.Add(1000) }), 3},
		"id":       {edit(func(e *store.AuditEntry) { e.ID = "aud_other" }), 3},
		"detail":   {edit(func(e *store.AuditEntry) { e.DetailSealed = nil }), 3},
		"hash":     {edit(func(e *store.AuditEntry) { e.Hash = make([]byte, 32) }), 3},
		"removed":  {func(e []store.AuditEntry) []store.AuditEntry { return slices.Delete(e, 2, 3) }, 3},
		"reversed": {func(e []store.AuditEntry) []store.AuditEntry { e[2], e[3] = e[3], e[2]; return e }, 3},
		"cut":      {func(e []store.AuditEntry) []store.AuditEntry { return e[:5] }, 6},
		"emptied":  {func([]store.AuditEntry) []store.AuditEntry { return nil }, 6},
	} {
		t.Run(name, func(t *testing.T) {
			err := store.VerifyAudit(c.tamper(slices.Clone(good)), head)
			wantCode(t, schema.CodeInternal, err)
			require.Contains(t, err.Error(), fmt.Sprintf("at entry %d:", c.at))
		})
	}
}

// The hash of a known entry: a chain written today must verify for ever.
func TestAuditHashIsStable(t *testing.T) {
	e := store.AuditEntry{Chain: store.ChainDoor, Seq: 1, ID: "aud_1", At: at, Actor: "key_1", Action: "flow.deploy", Target: "flow_1", Namespace: "ns_1", DetailSealed: []byte{1}}
	e.Hash, _ = hex.DecodeString("ee35e9d46fbcd9939adbf626a3d5eef4d9cbaf0bf46a2ff6b3b85b395cc0a75c")
	require.NoError(t, store.VerifyAudit([]store.AuditEntry{e}))
}

// Invariant 8: the log takes no update and no delete, and what somebody with
// the owner's rights did to it all the same is found.
func TestTamperingInTheDatabaseIsFound(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		d := storetest.Open(t, made.API, store.SideAPI).Door()
		entries := chain(t, d, 1200)
		known := store.AuditHead{Seq: 1200, Hash: entries[len(entries)-1].Hash}
		require.Len(t, entries, store.MaxPage)
		_, err := d.VerifyAudit(t.Context(), known, store.AuditHead{Seq: entries[0].Seq, Hash: entries[0].Hash})
		require.NoError(t, err)

		db := owner(t, b, made, "door")
		refused := []string{"UPDATE audit SET actor = 'x' WHERE seq = 5", "DELETE FROM audit WHERE seq = 5"}
		if b.Name == "postgres" {
			refused = append(refused, "TRUNCATE audit")
		} else {
			refused = append(refused, "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE seq = 5")
		}
		for _, statement := range refused {
			_, err := db.ExecContext(t.Context(), statement)
			require.ErrorContains(t, err, "append-only", statement)
		}
		_, err = d.VerifyAudit(t.Context(), known)
		require.NoError(t, err)

		unguard(t, b, db)
		for _, c := range []struct{ do, undo, at string }{
			{"UPDATE audit SET actor = 'x' WHERE seq = 1001", "UPDATE audit SET actor = 'key_test' WHERE seq = 1001", "entry 1001:"},
			{"UPDATE audit SET seq = 9999 WHERE seq = 700", "UPDATE audit SET seq = 700 WHERE seq = 9999", "entry 700:"},
			{"UPDATE audit SET seq = 0 WHERE seq = 1", "UPDATE audit SET seq = 1 WHERE seq = 0", "entry 1:"},
			{"DELETE FROM audit WHERE seq > 1198", "", "entry 1199:"},
		} {
			_, err := db.ExecContext(t.Context(), c.do)
			require.NoError(t, err)
			_, err = d.VerifyAudit(t.Context(), known)
			require.ErrorContains(t, err, c.at, c.do)
			if c.undo != "" {
				_, err = db.ExecContext(t.Context(), c.undo)
				require.NoError(t, err)
			}
		}
		// The process that wrote what was cut does not write on as if nothing
		// had happened.
		err = d.AppendAudit(t.Context(), draft("act", "target"))
		wantCode(t, schema.CodeInternal, err)
		require.Contains(t, err.Error(), "entry 1200", err)
	})
}
