package worker

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/activities"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// comes has the relay take so many new events of one flow.
func (b *bench) comes(t *testing.T, n int) {
	t.Helper()
	b.named(t, "busy", n)
	if b.filling != nil {
		b.filling.working.left.Store(false) // Its runs were slow, perhaps: nobody evaluates.
	}
	_, err := b.takeEvents(t.Context())
	require.NoError(t, err)
}

// members are the runs of the carrier, by their rows.
func (b *bench) members(t *testing.T, id string) (n int) {
	t.Helper()
	open, err := b.cell.Work().OpenRuns(t.Context())
	require.NoError(t, err)
	for _, run := range open {
		if run.Carrier == id {
			n++
		}
	}
	return n
}

// TestCarriersAreFilled: runs join a carrier that the engine was not told of, until it
// is full or its time is over; what it is told of has exactly the members that are
// committed. A sweep does not tell it before.
func TestCarriersAreFilled(t *testing.T) {
	b := newBench(t)
	b.shares.capacity = 1024
	b.comes(t, 3)
	first := b.filling.id
	b.comes(t, 5)
	require.Equal(t, first, b.filling.id)
	require.Equal(t, 8, b.members(t, first))
	require.Len(t, b.untold(), 1)
	require.Empty(t, b.waitingForStart())
	require.False(t, b.wanted())

	b.inOrder(t, "key")
	_, err := b.takeEvents(t.Context())
	require.NoError(t, err)
	require.Equal(t, 8, b.members(t, first))
	require.Len(t, (<-b.headed).members, 1, "it has a carrier of its own, after its head start")

	b.comes(t, 10+carrierSize)
	told := map[string]int{}
	for range 2 {
		c := <-b.headed
		told[c.id] = len(c.members)
		require.Equal(t, len(c.members), b.members(t, c.id))
	}
	require.Equal(t, carrierSize, told[first])
	require.Len(t, told, 2)
	last := b.filling.id
	require.NotContains(t, told, last)
	require.Equal(t, 2, b.members(t, last))
	<-b.full()
	b.close(t.Context())
	c := <-b.headed
	require.Equal(t, last, c.id)
	require.Len(t, c.members, 2)
	require.Nil(t, b.full())
	require.Len(t, b.waitingForStart(), 4)
	b.comes(t, 1)
	require.NotEqual(t, last, b.filling.id, "nobody joins a carrier that the engine is being told of")
}

// TestACarrierThatIsNotFull: a run that nobody can work on leaves its place in a carrier
// empty; the carrier of those beside it is told of all the same, when another takes its place.
func TestACarrierThatIsNotFull(t *testing.T) {
	b := newBench(t)
	b.shares.capacity = 1024
	b.named(t, "busy", 10)
	b.event(t, document, []byte("noise"))
	b.comes(t, 7)
	c := <-b.headed
	require.Len(t, c.members, carrierSize-1)
	require.NotEqual(t, c.id, b.filling.id)
	require.Len(t, b.filling.members, 2)
	require.Len(t, b.untold(), 2)
	require.Equal(t, []carrier{c}, b.waitingForStart())
}

// TestNobodyWaitsForOthersToCome: a carrier that one of its runs needs, or whose runs have
// all ended, is left open no longer.
func TestNobodyWaitsForOthersToCome(t *testing.T) {
	t.Run("ended", func(t *testing.T) {
		b := newBench(t)
		b.comes(t, 2)
		require.False(t, b.wanted())
		require.Empty(t, b.loose)
		for _, run := range b.filling.members {
			b.ended(run.ID)
		}
		<-b.loose
		require.True(t, b.wanted())
	})
	t.Run("needed", func(t *testing.T) {
		b := newBench(t)
		on := make(chan struct{})
		cfg := b.executorConfig()
		cfg.Evaluator = busyEvaluator{on}
		b.executor = activities.New(cfg)
		b.comes(t, 2)
		require.False(t, b.wanted())
		close(on)
		<-b.loose
		require.True(t, b.wanted())
	})
}

// TestRunsThatCannotJoin: of runs whose rows cannot be committed the carrier that they
// were to join knows nothing; if they were all the same, they get another.
func TestRunsThatCannotJoin(t *testing.T) {
	b := newBench(t)
	require.NoError(t, b.cell.Work().Own(t.Context(), 1))
	b.comes(t, 2)
	other := storetest.Open(t, b.made.Cell, store.SideCell)
	require.NoError(t, other.Work().Own(t.Context(), 2))
	b.named(t, "busy", 1)
	_, err := b.takeEvents(t.Context())
	require.ErrorIs(t, err, store.ErrNotOwner)
	require.Len(t, b.filling.members, 2)
	require.Len(t, b.untold()[0].members, 2)
	require.Equal(t, 2, b.openCount())
	require.Len(t, b.takeLost(), 1)
}

// TestAnEngineThatIsSlow: no more is taken from the inbox than may wait for the engine;
// the relay is rung for when it has taken some.
func TestAnEngineThatIsSlow(t *testing.T) {
	b := newBench(t)
	for range mostUnstarted {
		b.keep(carrier{id: schema.NewID(schema.PrefixCarrier)})
	}
	b.comes(t, 1)
	require.Zero(t, b.openCount())
	b.started(b.untold()[0])
	<-b.bell
	_, err := b.takeEvents(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, b.openCount())
	b.started(b.untold()[0])
	<-b.bell
	b.started(b.untold()[0])
	require.Empty(t, b.bell)
}
