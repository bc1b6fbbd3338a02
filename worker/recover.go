package worker

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"golang.org/x/sync/errgroup"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/crash"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	// askAtOnce bounds the questions to the engine, and the take-overs, that are
	// under way together.
	askAtOnce = 16
	// takeUpAtOnce bounds the runs of the process before that one pass takes up.
	takeUpAtOnce = 4 * carrierSize
	// listPage is how many carriers one answer of the engine lists.
	listPage = 1000
)

// live are the states of a run that a carrier works on.
var live = []string{store.RunPending, store.RunRunning, store.RunWaiting}

// recover takes up what the cell's former process left. It is dead: a cell
// holds a lock on its directory while it lives. So runs that were under way get
// a new carrier at once, instead of waiting for the engine to notice; the
// former carriers are fenced by the epoch. Runs that wait stay with their
// carriers when the engine still has them, and runs without a carrier in their
// lines. Those of the flow that has least come first, and what comes in meanwhile
// does not wait for all of them.
func (r *relay) recover(ctx context.Context) error {
	if err := r.lineUp(ctx); err != nil {
		return err
	}
	open, err := r.cell.Work().OpenRuns(ctx)
	if err != nil {
		return err
	}
	waiting := make(map[string]bool)
	for _, run := range open {
		if run.State == store.RunWaiting {
			waiting[run.Carrier] = true
		}
	}
	gone, err := r.gone(ctx, waiting)
	if err != nil {
		return err
	}
	take := open[:0:0]
	for _, run := range open {
		if run.State != store.RunWaiting || gone[run.Carrier] {
			take = append(take, run)
		}
	}
	if len(take) > 0 {
		r.logger.InfoContext(ctx, "taking up the runs of the process before", "runs", len(take), "waiting", len(open)-len(take))
	}
	count := make(map[string]int)
	for _, run := range take {
		count[run.Flow]++
		r.follow([]store.Run{{ID: run.ID, Flow: run.Flow}})
	}
	slices.SortStableFunc(take, func(a, b store.Run) int { return count[a.Flow] - count[b.Flow] })
	r.left = take
	return nil
}

// takeUp takes over some of the runs that the process before left.
func (r *relay) takeUp(ctx context.Context) {
	if r.behind() {
		return
	}
	some := r.left[:min(takeUpAtOnce, len(r.left))]
	r.left = r.left[len(some):]
	r.takeOver(ctx, some)
}

// reconcile takes up the open runs whose carrier has ended without them, such
// as one that was terminated from outside or lost with the engine's store, or
// goes on no more.
func (r *relay) reconcile(ctx context.Context) error {
	open, err := r.cell.Work().OpenRuns(ctx)
	if err != nil {
		return err
	}
	asked := make(map[string]bool)
	r.recount(open)
	left := make(map[string]bool, len(r.left))
	for _, run := range r.left {
		left[run.ID] = true
	}
	r.mu.Lock()
	open = slices.DeleteFunc(open, func(run store.Run) bool {
		_, unstarted := r.unstarted[run.Carrier]
		_, lost := r.lost[run.ID]
		// Those that the process before left are taken up at their own pace.
		return unstarted || lost || left[run.ID]
	})
	r.mu.Unlock()
	for _, run := range open {
		asked[run.Carrier] = true
	}
	gone, err := r.gone(ctx, asked)
	if err != nil {
		return err
	}
	stranded := r.stranded(open, time.Now(), r.executor.Heard)
	open = slices.DeleteFunc(open, func(run store.Run) bool {
		waited, left := stranded[run.ID]
		if waited {
			r.executor.Waited(run.ID, *run.DueAt)
		}
		return !gone[run.Carrier] && !left
	})
	if len(open) > 0 {
		r.logger.WarnContext(ctx, "runs were left by their carriers and are taken up", "runs", len(open))
	}
	r.takeOver(ctx, open)
	return nil
}

// recount corrects the count of open runs: one that waits, for days perhaps, does
// not keep others from being worked on.
func (r *relay) recount(open []store.Run) {
	busy := make(map[string]bool, len(open))
	for _, run := range open {
		busy[run.ID] = run.State != store.RunWaiting
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.shares.open {
		if !busy[id] {
			r.shares.drop(id)
		}
	}
}

// gone tells which of the carriers the engine has no running workflow for.
func (r *relay) gone(ctx context.Context, carriers map[string]bool) (map[string]bool, error) {
	out := make(map[string]bool)
	ask := maps.Clone(carriers)
	if len(ask) > askAtOnce {
		if err := r.withoutRunning(ctx, ask); err != nil {
			return nil, err
		}
	}
	var mu sync.Mutex
	err := each(ask, func(id string) error {
		ended, err := r.ends(ctx, id)
		mu.Lock()
		defer mu.Unlock()
		if ended {
			out[id] = true
		}
		return err
	})
	return out, err
}

// each asks about all of the carriers, a few at a time, and returns the first
// error.
func each(carriers map[string]bool, ask func(id string) error) error {
	var g errgroup.Group
	g.SetLimit(askAtOnce)
	for id := range carriers {
		g.Go(func() error { return ask(id) })
	}
	return g.Wait()
}

// withoutRunning removes the carriers that the engine lists as running. Its list
// may lag, so what it does not hold proves nothing.
func (r *relay) withoutRunning(ctx context.Context, carriers map[string]bool) error {
	var token []byte
	for {
		page, err := r.engine.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: "ExecutionStatus = 'Running'", PageSize: listPage, NextPageToken: token,
		})
		if err != nil {
			return schema.Errorf(schema.CodeUnavailable, "the engine does not list the carriers: %w", err)
		}
		for _, w := range page.GetExecutions() {
			delete(carriers, w.GetExecution().GetWorkflowId())
		}
		if token = page.GetNextPageToken(); len(token) == 0 {
			return nil
		}
	}
}

// ends tells whether the engine has no running workflow for the carrier.
func (r *relay) ends(ctx context.Context, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	d, err := r.engine.DescribeWorkflowExecution(ctx, id, "")
	var missing *serviceerror.NotFound
	switch {
	case errors.As(err, &missing):
		return true, nil
	case err != nil:
		return false, schema.Errorf(schema.CodeUnavailable, "the engine does not tell about a carrier: %w", err)
	}
	return d.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}

// takeOver gives the runs new carriers and higher epochs, which fence the old
// ones, and starts them. What was done is taken from the journal. Only id and
// Straight of a run are looked at. What fails is tried again.
func (r *relay) takeOver(ctx context.Context, runs []store.Run) {
	var (
		mu    sync.Mutex
		ready []store.Run
		wg    sync.WaitGroup
		slots = make(chan struct{}, askAtOnce)
	)
	for _, members := range groups(runs) {
		ids := make([]string, 0, len(members))
		for _, i := range members {
			r.executor.Leave(runs[i].ID)
			ids = append(ids, runs[i].ID)
		}
		slots <- struct{}{}
		// Take-overs that are under way together share a transaction.
		wg.Go(func() {
			defer func() { <-slots }()
			taken, err := r.cell.Work().TakeRuns(ctx, schema.NewID(schema.PrefixCarrier), ids, live)
			r.troubles.about(ctx, "take runs over", err)
			if err != nil {
				r.again(ids...)
				return
			}
			crash.At(crash.RunsTaken)
			for _, run := range taken {
				if err := r.executor.Ready(ctx, run); err != nil {
					r.refuse(ctx, run, err)
					continue
				}
				mu.Lock()
				ready = append(ready, run)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	r.follow(ready)
	for _, c := range carriersOf(ready, true) {
		r.announce(ctx, c, nil)
	}
}

// again asks for runs to be taken over by new carriers, at the next sweep.
func (r *relay) again(ids ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		r.lost[id] = struct{}{}
	}
}

// takeLost empties the list of runs that need a new carrier. Each gets one of
// its own: what went wrong with it does not concern others. Those that the process
// before left get theirs anyway: their former carriers only asked too early.
func (r *relay) takeLost() []store.Run {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range r.left {
		delete(r.lost, run.ID)
	}
	out := make([]store.Run, 0, len(r.lost))
	for id := range r.lost {
		out = append(out, store.Run{ID: id})
	}
	clear(r.lost)
	return out
}
