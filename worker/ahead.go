package worker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
	"github.com/tenonhq/tenon/workflows"
)

// headStart is how much later the engine is told of a carrier, at most, whose runs are
// worked on before: what it does then takes a processor that they need.
const headStart = 25 * time.Millisecond

// beginning is what was begun with runs whose rows are being committed.
type beginning struct {
	kept chan struct{}
	runs []store.Run
	// failed are those that no carrier can work on.
	failed []failedRun
	// carriers are all that the runs have, now those that are started as soon as the
	// runs are committed.
	carriers, now []carrier
}

type failedRun struct {
	run   store.Run
	cause error
}

// beginEarly has the admitted runs worked on while their rows are being committed. What
// is done by then changes nothing anywhere: see [activities.Executor.Prime].
func (r *relay) beginEarly(ctx context.Context, runs []store.Run, events []store.Event, admitted []bool) *beginning {
	b := &beginning{kept: make(chan struct{})}
	for i, run := range runs {
		if !admitted[i] {
			continue
		}
		r.follow(runs[i : i+1])
		if err := r.executor.Prime(run, events[i], b.kept); err != nil { //nolint:contextcheck // The document is in memory.
			b.failed = append(b.failed, failedRun{run, err})
			continue
		}
		b.runs = append(b.runs, run)
	}
	b.carriers = carriersOf(b.runs, false)
	b.now = r.ahead(ctx, b.carriers)
	return b
}

// abandon forgets runs whose rows could not be committed: their events are taken again.
func (r *relay) abandon(b *beginning) {
	for _, run := range b.runs {
		r.executor.Abandon(run.ID)
	}
	r.mu.Lock()
	for _, run := range b.runs {
		r.shares.drop(run.ID)
	}
	for _, f := range b.failed {
		r.shares.drop(f.run.ID)
	}
	r.mu.Unlock()
	for _, c := range b.carriers {
		r.started(c) // Nobody is to start it.
	}
	close(b.kept)
}

// ahead has new runs worked on before the engine is told of their carriers, in whose
// name that is. It returns the carriers that are to be started at once: those whose
// runs do not begin so, and all of a cell that has much to do, which works on what
// carriers ask for.
func (r *relay) ahead(ctx context.Context, carriers []carrier) (now []carrier) {
	if r.openCount() > carrierSize {
		return carriers
	}
	for _, c := range carriers {
		requests := r.firsts(c)
		if len(requests) == 0 {
			now = append(now, c)
			continue
		}
		r.keep(c) // Until it is started: it is not the engine that lost it.
		var working sync.WaitGroup
		for _, req := range requests {
			working.Add(1)
			r.aheads.Go(func() {
				defer working.Done()
				if err := r.executor.Ahead(ctx, req); err != nil && ctx.Err() == nil {
					r.logger.DebugContext(ctx, "a step was not performed before its carrier asked for it", "run", req.Owner.Run, "error", err)
				}
			})
		}
		r.aheads.Go(func() { r.head(ctx, c, &working) })
	}
	return now
}

// startHeaded starts the carriers whose head start is over, together. Those of an
// engine that does not answer wait for the sweep like all others; the sweep may have
// started them, and those whose runs were not committed are abandoned.
func (r *relay) startHeaded(ctx context.Context, first carrier) {
	headed := []carrier{first}
	for len(r.headed) > 0 { // Nobody else takes from it.
		headed = append(headed, <-r.headed)
	}
	r.mu.Lock()
	headed = slices.DeleteFunc(headed, func(c carrier) bool {
		_, left := r.unstarted[c.id]
		return !left
	})
	r.mu.Unlock()
	if !r.down.Load() {
		r.startAll(ctx, headed)
	}
}

// firsts are the requests that the carrier will ask first.
func (r *relay) firsts(c carrier) []task.StepRequest {
	var out []task.StepRequest
	for _, run := range c.members {
		doc, err := r.executor.Document(run.Digest) // It is in memory.
		if err != nil {
			continue // Its carrier asks for it again.
		}
		owner := task.Owner{Carrier: run.Carrier, Run: run.ID, Epoch: run.Epoch, Digest: run.Digest}
		if req, ok := workflows.First(doc, owner); ok {
			out = append(out, req)
		}
	}
	return out
}

// head has a carrier started when the work is done, or the head start is over.
func (r *relay) head(ctx context.Context, c carrier, working *sync.WaitGroup) {
	done := make(chan struct{})
	go func() {
		working.Wait()
		close(done)
	}()
	late := time.NewTimer(headStart)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
	case <-ctx.Done():
	}
	select {
	case r.headed <- c:
	case <-ctx.Done():
	}
}
