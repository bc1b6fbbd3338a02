package store

import (
	"cmp"
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

// programsThatWait are the programs that have runs without a carrier.
const programsThatWait = " FROM programs p WHERE EXISTS (SELECT 1 FROM runs r WHERE r.program = p.program AND r.ended_at = 0 AND r.carrier = '')"

// WaitingFlows lists the flows that have runs without a carrier.
func (w *Work) WaitingFlows(ctx context.Context) ([]string, error) {
	rows, err := w.s.Query(ctx, "SELECT DISTINCT p.flow"+programsThatWait)
	return collect("list the waiting flows", rows, err, func(row scanner) (string, error) {
		var flow string
		return flow, row.Scan(&flow)
	})
}

// WaitingRuns lists the runs of a flow that may have a carrier, oldest first: at
// most so many, and none that waits for an earlier one of its key. more tells
// whether other runs of the flow wait, be it for their key.
func (w *Work) WaitingRuns(ctx context.Context, flow string, most int) (runs []Run, more bool, err error) {
	rows, err := w.s.Query(ctx, "SELECT p.program"+programsThatWait+" AND p.flow = ?", flow)
	programs, err := collect("list the waiting runs", rows, err, func(row scanner) (int64, error) {
		var n int64
		return n, row.Scan(&n)
	})
	if err != nil {
		return nil, false, err
	}
	all := int64(0)
	for _, program := range programs {
		// Of one program the index has them in order, however many wait.
		rows, err := w.s.Query(ctx, selectRuns+"WHERE "+waiting+" AND runs.program = ? AND "+inTurn+" ORDER BY seq LIMIT ?", program, most)
		some, err := collect("list the waiting runs", rows, err, scanRun)
		if err != nil {
			return nil, false, err
		}
		runs = append(runs, some...)
		n, err := w.count(ctx, "SELECT COUNT(*) FROM (SELECT 1 FROM runs WHERE "+waiting+" AND program = ? LIMIT ?) AS w", program, most+1)
		if err != nil {
			return nil, false, err
		}
		all += n
	}
	slices.SortFunc(runs, func(a, b Run) int { return cmp.Compare(a.EventSeq, b.EventSeq) })
	runs = runs[:min(most, len(runs))]
	return runs, all > int64(len(runs)), nil
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
