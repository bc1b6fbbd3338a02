package store

import (
	"context"
	"slices"

	"github.com/lib/pq"
)

// A pending run without a carrier waits for one. The conditions are the indexes'
// own, word for word.
const (
	carried = "ended_at = 0 AND carrier <> ''"
	waiting = "ended_at = 0 AND carrier = ''"
	// inTurn leaves out the runs that wait for an earlier one of their key.
	inTurn = "(order_key = '' OR seq IN (SELECT MIN(seq) FROM runs WHERE order_key <> '' AND (ended_at = 0 OR state = 'uncertain') GROUP BY order_key))"
)

// WaitingFlows lists the flows that have runs without a carrier.
func (w *Work) WaitingFlows(ctx context.Context) ([]string, error) {
	rows, err := w.s.Query(ctx, "SELECT DISTINCT flow FROM runs JOIN programs USING (program) WHERE "+waiting)
	return collect("list the waiting flows", rows, err, func(row scanner) (string, error) {
		var flow string
		return flow, row.Scan(&flow)
	})
}

// WaitingRuns lists the runs of a flow that may have a carrier, oldest first: at
// most so many, and none that waits for an earlier one of its key. more tells
// whether other runs of the flow wait, be it for their key.
func (w *Work) WaitingRuns(ctx context.Context, flow string, most int) (runs []Run, more bool, err error) {
	rows, err := w.s.Query(ctx, selectRuns+"WHERE "+waiting+" AND flow = ? AND "+inTurn+" ORDER BY seq LIMIT ?", flow, most)
	if runs, err = collect("list the waiting runs", rows, err, scanRun); err != nil {
		return nil, false, err
	}
	all, err := w.count(ctx, "SELECT COUNT(*) FROM (SELECT 1 FROM runs JOIN programs USING (program) WHERE "+waiting+" AND flow = ? LIMIT ?) AS w", flow, len(runs)+1)
	return runs, all > int64(len(runs)), err
}

// Carried counts the runs of a flow that have a carrier and have not ended, those
// that wait for a time included.
func (w *Work) Carried(ctx context.Context, flow string) (int, error) {
	n, err := w.count(ctx, "SELECT COUNT(*) FROM runs JOIN programs USING (program) WHERE "+carried+" AND flow = ?", flow)
	return int(n), err
}

// BusyKeys tells which of the order keys have a run that has not ended, or is
// uncertain: those after it wait.
func (w *Work) BusyKeys(ctx context.Context, keys []string) (map[string]bool, error) {
	const query = "SELECT DISTINCT order_key FROM runs WHERE order_key <> '' AND (ended_at = 0 OR state = 'uncertain') AND order_key = "
	busy := make(map[string]bool)
	ask := func(condition string, arg any) error {
		rows, err := w.s.Query(ctx, query+condition, arg)
		found, err := collect("find the keys", rows, err, func(row scanner) (string, error) {
			var key string
			return key, row.Scan(&key)
		})
		for _, key := range found {
			busy[key] = true
		}
		return err
	}
	if w.s.Postgres {
		return busy, ask("ANY(?)", pq.StringArray(keys))
	}
	for _, key := range slices.Compact(slices.Sorted(slices.Values(keys))) {
		if err := ask("?", key); err != nil {
			return nil, err
		}
	}
	return busy, nil
}

func (w *Work) count(ctx context.Context, query string, args ...any) (int64, error) {
	rows, err := w.s.Query(ctx, query, args...)
	return single("count the runs", rows, err, func(row scanner) (int64, error) {
		var n int64
		return n, row.Scan(&n)
	})
}
