package audit_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/audit"
)

var at = time.Date(2026, 3, 1, 12, 30, 15, 123456000, time.UTC)

// chain makes n entries that follow one another.
func chain(name string, n int) []audit.Entry {
	out := make([]audit.Entry, n)
	for i := range out {
		e := audit.Entry{
			Chain: name, Seq: int64(i + 1), ID: fmt.Sprintf("aud_%s_%d", name, i+1), At: at.Add(time.Duration(i) * time.Second),
			Actor: "key_1", Action: fmt.Sprint("act.", i), Target: "flow_1", Namespace: "ns_1", Detail: []byte{1, 0, byte(i)},
		}
		if name == "control" {
			e.Organization = "org_1"
		}
		if i > 0 {
			e.Prev = out[i-1].Hash
		}
		e.Hash = e.Digest()
		out[i] = e
	}
	return out
}

// rehash makes the entries from i on follow one another again, as who rewrites
// a chain would.
func rehash(entries []audit.Entry, i int) []audit.Entry {
	for ; i < len(entries); i++ {
		if i > 0 {
			entries[i].Prev = entries[i-1].Hash
		}
		entries[i].Hash = entries[i].Digest()
	}
	return entries
}

func walk(entries []audit.Entry, after audit.Head, anchors ...audit.Anchor) []audit.Finding {
	w := audit.NewWalker("control", after)
	for _, a := range anchors {
		w.Expect(a)
	}
	for i := range entries {
		w.Add(&entries[i])
	}
	_, found := w.End()
	return found
}

func TestWalkerFindsTampering(t *testing.T) {
	good := chain("control", 6)
	middle, end := audit.Anchor{Head: good[2].Head(), By: "a checkpoint"}, audit.Anchor{Head: good[5].Head(), By: "the last checkpoint"}
	require.Empty(t, walk(good, audit.Head{}, middle, end))
	require.Empty(t, walk(good[2:], good[1].Head(), end), "a part of a chain")

	edit := func(change func(*audit.Entry)) func([]audit.Entry) []audit.Entry {
		return func(e []audit.Entry) []audit.Entry { change(&e[2]); return e }
	}
	for name, c := range map[string]struct {
		tamper func([]audit.Entry) []audit.Entry
		at     int
	}{
		"actor":        {edit(func(e *audit.Entry) { e.Actor = "other" }), 3},
		"action":       {edit(func(e *audit.Entry) { e.Action = "other" }), 3},
		"target":       {edit(func(e *audit.Entry) { e.Target = "other" }), 3},
		"namespace":    {edit(func(e *audit.Entry) { e.Namespace = "" }), 3},
		"organization": {edit(func(e *audit.Entry) { e.Organization = "org_2" }), 3},
		"nobody's":     {edit(func(e *audit.Entry) { e.Organization = "" }), 3},
		"moved boundary": {edit(func(e *audit.Entry) {
			e.Actor, e.Action = e.Actor+e.Action[:1], e.Action[1:]
		}), 3},
		"time":       {edit(func(e *audit.Entry) { e.At = e.At.Add(1000) }), 3},
		"id":         {edit(func(e *audit.Entry) { e.ID = "aud_other" }), 3},
		"detail":     {edit(func(e *audit.Entry) { e.Detail = nil }), 3},
		"hash":       {edit(func(e *audit.Entry) { e.Hash = make([]byte, 32) }), 3},
		"removed":    {func(e []audit.Entry) []audit.Entry { return slices.Delete(e, 2, 3) }, 3},
		"reversed":   {func(e []audit.Entry) []audit.Entry { e[2], e[3] = e[3], e[2]; return e }, 3},
		"twice":      {func(e []audit.Entry) []audit.Entry { return slices.Insert(e, 3, e[2]) }, 3},
		"first gone": {func(e []audit.Entry) []audit.Entry { return e[1:] }, 1},
		"another's":  {edit(func(e *audit.Entry) { e.Chain = "door" }), 3},
		"cut":        {func(e []audit.Entry) []audit.Entry { return e[:5] }, 6},
		"emptied":    {func([]audit.Entry) []audit.Entry { return nil }, 1},
		"rewritten before a checkpoint": {func(e []audit.Entry) []audit.Entry {
			e[0].Actor = "other"
			return rehash(e, 0)
		}, 3},
		"rewritten after a checkpoint": {func(e []audit.Entry) []audit.Entry {
			e[4].Actor = "other"
			return rehash(e, 4)
		}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			found := walk(c.tamper(slices.Clone(good)), audit.Head{}, middle, end)
			require.NotEmpty(t, found)
			require.EqualValues(t, c.at, found[0].Seq, "%v", found)
			require.Equal(t, "control", found[0].Chain)
			require.Contains(t, found[0].String(), fmt.Sprintf("at entry %d", c.at))
		})
	}
}

// A chain that is wrong from some entry on is not remembered whole.
func TestFindingsAreBounded(t *testing.T) {
	entries := chain("control", 1000)
	for i := range entries {
		entries[i].Actor = "other"
	}
	require.Len(t, walk(entries, audit.Head{}), 100)
}

// The hash of a known entry: a chain written today must verify for ever.
func TestAuditHashIsStable(t *testing.T) {
	e := audit.Entry{Chain: "door", Seq: 1, ID: "aud_1", At: at, Actor: "key_1", Action: "flow.deploy", Target: "flow_1", Namespace: "ns_1", Detail: []byte{1}}
	require.Equal(t, "ee35e9d46fbcd9939adbf626a3d5eef4d9cbaf0bf46a2ff6b3b85b395cc0a75c", hex.EncodeToString(e.Digest()))
	e.Chain, e.Organization = "control", "org_1"
	require.Equal(t, "88ae0e63a885eb007fac808abcfa37527f85cb7d79c4895dad204244a0d58ab7", hex.EncodeToString(e.Digest()))
}
