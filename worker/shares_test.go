package worker

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// TestShares: however many flows hang one after the other, there is room for one
// more; those that come together get the same.
func TestShares(t *testing.T) {
	s := newShares(1024)
	fill := func(flow string) (n int) {
		for s.room(flow) > 0 {
			s.add(fmt.Sprint(flow, n), flow)
			n++
		}
		return n
	}
	var got []int
	for i := range 8 {
		got = append(got, fill(fmt.Sprint("hangs-", i)))
	}
	require.Equal(t, []int{512, 256, 128, 64, 32, 16, 8, 4}, got)

	s = newShares(90)
	for n := range 90 {
		for _, flow := range []string{"a", "b"} {
			if s.room(flow) > 0 {
				s.add(fmt.Sprint(flow, n), flow)
			}
		}
	}
	require.Equal(t, map[string]int{"a": 30, "b": 30}, s.count)
	s.add("a0", "a")
	require.Equal(t, 30, s.count["a"], "a run counts once")
	for run := range s.open {
		s.drop(run)
		s.drop(run)
	}
	require.Empty(t, s.count)

	s = newShares(1)
	require.Equal(t, 1, fill("a"))
	require.Zero(t, fill("b"))
}

// TestWhoHasLeastIsFirst: lines without room, and those that were looked at, are
// left out.
func TestWhoHasLeastIsFirst(t *testing.T) {
	s := newShares(16)
	for i := range 8 {
		s.add(fmt.Sprint("a", i), "a")
	}
	s.add("b", "b")
	s.lines = map[string]bool{"a": true, "b": true, "c": true, "d": false}
	require.Equal(t, []string{"c", "b"}, s.next())
	require.True(t, s.stir())
	require.Len(t, s.next(), 3)
	require.False(t, newShares(1).stir())
}

// named puts events of one flow into the inbox.
func (b *bench) named(t *testing.T, name string, n int) (flowID string) {
	t.Helper()
	doc, err := flow.Parse([]byte(document))
	require.NoError(t, err)
	f := store.Flow{ID: schema.NewID(schema.PrefixFlow), Namespace: b.namespace, Name: name, State: "active", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	known, err := b.api.Door().GetFlow(t.Context(), b.namespace, name)
	if err == nil {
		f = known
	} else {
		version := store.FlowVersion{Flow: f.ID, Version: 1, Namespace: b.namespace, Digest: doc.Digest, Straight: true, CreatedAt: time.Now()}
		version.DocumentSealed = b.data.Seal(place.Flow(b.organization, f.ID, 1), doc.Canonical)
		_, _, _, err = b.api.Door().DeployFlow(t.Context(), f, version, store.AuditDraft{Actor: "test", Action: "test", Target: "test"})
		require.NoError(t, err)
	}
	for range n {
		ev := store.Event{
			ID: schema.NewID(schema.PrefixEvent), Namespace: b.namespace, Source: "src", Kind: config.KindWebhook,
			Flow: f.ID, FlowVersion: 1, Digest: doc.Digest, ReceivedAt: time.Now(),
		}
		ev.DedupeKey = ev.ID
		plain, err := json.Marshal(config.Event{Body: json.RawMessage(`{}`)})
		require.NoError(t, err)
		ev.PayloadSealed = b.data.Seal(place.Event(b.organization, ev.ID), plain)
		_, _, err = b.api.Door().AcceptEvent(t.Context(), ev, store.AuditDraft{Actor: "test", Action: "test", Target: ev.ID})
		require.NoError(t, err)
	}
	return f.ID
}

// passes has the relay work as if the engine took what it is given: it is away,
// so that carriers stay where they can be counted.
func (b *bench) passes(t *testing.T) {
	t.Helper()
	for more := true; more; {
		b.down.Store(false)
		var err error
		more, err = b.takeEvents(t.Context())
		require.NoError(t, err)
		b.down.Store(false)
		require.NoError(t, b.startWaiting(t.Context()))
	}
}

// carried are the numbers of the runs that have a carrier.
func (b *bench) carried(t *testing.T) (seqs []int64) {
	t.Helper()
	open, err := b.cell.Work().OpenRuns(t.Context())
	require.NoError(t, err)
	for _, run := range open {
		seqs = append(seqs, run.EventSeq)
	}
	return seqs
}

// TestAFloodHoldsNobodyBack: a flow that floods gets its share, in order, and
// another one's run is started at once. What waits goes on as runs end, and in a
// process that comes after.
func TestAFloodHoldsNobodyBack(t *testing.T) {
	b := newBench(t) // It carries eight runs.
	flood := b.named(t, "flood", 20)
	b.passes(t)
	require.Equal(t, []int64{1, 2, 3, 4}, b.carried(t), "half of the room, the first first")
	other := b.named(t, "other", 3)
	b.passes(t)
	require.Equal(t, []int64{1, 2, 3, 4, 21, 22}, b.carried(t))
	require.Equal(t, map[string]int{flood: 4, other: 2}, b.shares.count)

	b.end(t, 1, store.RunFailed)
	b.passes(t)
	require.Equal(t, []int64{2, 3, 4, 21, 22, 23}, b.carried(t), "who has least comes first")
	for _, seq := range []int64{21, 22, 23} {
		b.end(t, seq, store.RunCompleted)
	}
	b.passes(t)
	require.Equal(t, []int64{2, 3, 4, 5}, b.carried(t))
	require.NotContains(t, b.shares.lines, other, "nothing of it waits")

	next := newRelay(b.organization, b.cell, b.data, b.engine, 8, b.logger)
	next.executor = b.executor
	require.NoError(t, next.lineUp(t.Context()))
	require.Equal(t, map[string]bool{flood: true}, next.shares.lines)
	require.NoError(t, next.startWaiting(t.Context()))
	require.Equal(t, 4, next.openCount())
}

// TestRunsThatWereLeft: a process that takes up what the one before left begins with
// the flow that has least, and what comes in meanwhile does not wait for the rest.
func TestRunsThatWereLeft(t *testing.T) {
	b := newBench(t)
	flood, other := b.named(t, "flood", 100), b.named(t, "other", 1)
	b.shares.capacity = 1024
	b.passes(t)
	require.Len(t, b.carried(t), 101)

	next := &bench{relay: newRelay(b.organization, b.cell, b.data, b.engine, 1024, b.logger), api: b.api, namespace: b.namespace}
	next.executor = b.executor
	require.NoError(t, next.recover(t.Context()))
	require.Equal(t, map[string]int{flood: 100, other: 1}, next.shares.count, "they count from the beginning")
	b.named(t, "calm", 1)
	next.takeUp(t.Context())
	next.down.Store(false)
	_, err := next.takeEvents(t.Context())
	require.NoError(t, err)
	runs, err := b.cell.Work().OpenRuns(t.Context())
	require.NoError(t, err)
	require.Len(t, runs, 102)
	require.EqualValues(t, 2, runs[100].Epoch, "who has least is first")
	require.EqualValues(t, 1, runs[101].Epoch)
	require.NotEmpty(t, runs[101].Carrier, "what came in meanwhile")
	require.Len(t, next.left, 101-takeUpAtOnce)
	next.again(next.left[0].ID, runs[101].ID)
	require.Equal(t, []store.Run{{ID: runs[101].ID}}, next.takeLost(), "who is to be taken up is not lost")
	for range 2 {
		next.takeUp(t.Context())
	}
	require.Empty(t, next.left)
	runs, err = b.cell.Work().OpenRuns(t.Context())
	require.NoError(t, err)
	for _, run := range runs[:101] {
		require.EqualValues(t, 2, run.Epoch)
	}
	require.Equal(t, 102, next.openCount())
}

// TestAFlowsLimit: so many runs of a flow have a carrier, those that wait for a
// time included; a raised limit lets others go; the rest of the cell is free.
func TestAFlowsLimit(t *testing.T) {
	b := newBench(t)
	id := b.named(t, "narrow", 0)
	limit := func(n int) {
		require.NoError(t, b.api.Door().ChangeFlow(t.Context(), b.namespace, id, store.FlowChange{MaxRuns: &n},
			store.AuditDraft{Actor: "test", Action: "flow.limit", Target: id}))
		b.shares.stir()
	}
	limit(2)
	b.named(t, "narrow", 6)
	b.passes(t)
	require.Equal(t, []int64{1, 2}, b.carried(t))
	b.named(t, "wide", 1)
	b.passes(t)
	require.Equal(t, []int64{1, 2, 7}, b.carried(t))

	runs, err := b.cell.Work().ListRuns(t.Context(), store.RunFilter{Flow: id})
	require.NoError(t, err)
	i := slices.IndexFunc(runs, func(r store.Run) bool { return r.EventSeq == 1 })
	require.NoError(t, b.cell.Work().Commit(t.Context(), store.RunCommit{
		Run: runs[i].ID, Carrier: runs[i].Carrier, Epoch: runs[i].Epoch, State: store.RunWaiting, DueAt: time.Now().Add(time.Hour),
	}))
	b.ended(runs[i].ID)
	b.passes(t)
	require.Equal(t, []int64{1, 2, 7}, b.carried(t), "it will go on, and counts")
	limit(3)
	b.passes(t)
	require.Equal(t, []int64{1, 2, 3, 7}, b.carried(t))
	limit(1)
	b.end(t, 2, store.RunCompleted)
	b.end(t, 3, store.RunCompleted)
	b.passes(t)
	require.Equal(t, []int64{1, 7}, b.carried(t))
	limit(0)
	b.passes(t)
	require.Equal(t, []int64{1, 4, 5, 6, 7}, b.carried(t))
}
