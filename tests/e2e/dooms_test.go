package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/crash"
)

// doom is a crash point, and how processes are led there.
type doom struct {
	at   crash.Point
	walk func(t *testing.T, w *walk)
}

// passing is a point that the cells of the kinds pass by themselves while orders
// come in: they end at the n-th passage.
func passing(at crash.Point, n uint16, modes ...ledger.Mode) doom {
	return doom{at, func(t *testing.T, w *walk) {
		t.Helper()
		w.dies(t, at, n, w.cells(modes...), func() {})
	}}
}

// accepting is a point that the API passes by itself.
func accepting(at crash.Point, n uint16) doom {
	return doom{at, func(t *testing.T, w *walk) {
		t.Helper()
		w.dies(t, at, n, []string{"api"}, func() {})
	}}
}

// commanded is a point that a process passes on the way of a command.
func commanded(at crash.Point, who func(w *walk) []string) doom {
	return doom{at, func(t *testing.T, w *walk) {
		t.Helper()
		w.cancel(t, func(cancel func()) { w.dies(t, at, 1, who(w), cancel) })
	}}
}

// starting is a point that a process passes when its kind was killed.
func starting(at crash.Point, name string, who func(w *walk) []string) doom {
	return doom{at, func(t *testing.T, w *walk) {
		t.Helper()
		w.dies(t, at, 1, who(w), func() { w.kill(t, name) })
	}}
}

// sleeping is a point that a process passes when there is nothing to do.
func sleeping(at crash.Point, who func(w *walk) []string) doom {
	return doom{at, func(t *testing.T, w *walk) {
		t.Helper()
		w.rests(func() { w.dies(t, at, 1, who(w), func() {}) })
	}}
}

func services(name string) func(*walk) []string {
	return func(*walk) []string { return []string{name} }
}

func allCells(w *walk) []string { return w.cells(kinds...) }

// dooms are all crash points.
var dooms = []doom{
	accepting(crash.EventKept, 2),
	accepting(crash.EventMarked, 3),
	commanded(crash.CommandKept, services("api")),
	starting(crash.CellClaimed, "host", services("host")),
	starting(crash.CellOwned, "tenon-cell", allCells),
	passing(crash.RunsKept, 2, kinds...),
	{crash.RunsTaken, func(t *testing.T, w *walk) {
		t.Helper()
		for _, s := range w.shops {
			// For there to be runs that are not done yet.
			require.NoError(t, s.books.Control(ledger.Control{Count: 1, StallMS: 5000}))
			s.stalled(t, 1)
		}
		w.dies(t, crash.RunsTaken, 1, allCells(w), func() { w.kill(t, "tenon-cell") })
	}},
	passing(crash.CarrierStarted, 2, kinds...),
	passing(crash.IntentKept, 2, kinds...),
	passing(crash.AnswerReceived, 3, kinds...),
	passing(crash.EffectKept, 1, kinds...),
	passing(crash.StepKept, 2, kinds...),
	passing(crash.StretchKept, 1, kinds...),
	{crash.RunParked, func(t *testing.T, w *walk) {
		t.Helper()
		w.dies(t, crash.RunParked, 1, w.cells(ledger.None), func() {
			require.NoError(t, w.shops[ledger.None].books.Control(ledger.Control{Count: 1, Drop: true, When: ledger.After}))
		})
	}},
	passing(crash.RunFinished, 2, kinds...),
	commanded(crash.CommandApplied, allCells),
	sleeping(crash.SleepTold, allCells),
	sleeping(crash.SleepKept, services("host")),
}

// TestEveryCrashPointIsWalked: none is forgotten.
func TestEveryCrashPointIsWalked(t *testing.T) {
	t.Parallel()
	at := map[crash.Point]int{}
	for _, d := range dooms {
		at[d.at]++
	}
	for _, point := range rotating {
		at[point]++
	}
	for p := crash.Point(1); p < crash.Points; p++ {
		require.Equal(t, 1, at[p], p.String())
	}
}
