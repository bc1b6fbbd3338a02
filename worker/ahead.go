package worker

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
	"github.com/tenonhq/tenon/workflows"
)

// headStart is how much later the engine is told of a carrier that takes no more runs, at
// most, while they are worked on: what it does then takes a processor that they need.
const headStart = 25 * time.Millisecond

// aheadPatience bounds what is done before a carrier asks: its steps take no longer than
// [task.LocalPatience], and nor does the end of the run.
const aheadPatience = 2 * task.LocalPatience

// beginning is what was begun with runs whose rows are being committed.
type beginning struct {
	kept chan struct{}
	runs []store.Run
	// failed are those that no carrier can work on.
	failed   []failedRun
	carriers []begun
}

type failedRun struct {
	run   store.Run
	cause error
}

// begun is a carrier, or what is new of one, whose runs are being worked on.
type begun struct {
	carrier
	// working is nil when nothing is done before the carrier asks.
	working *working
	// ends: it brings each of them to its end, unless it fails.
	ends bool
}

// working is the work on the runs of a carrier. left: one of them needs the carrier to
// go on.
type working struct {
	sync.WaitGroup
	left atomic.Bool
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
	for _, c := range carriersOf(b.runs, false) {
		b.carriers = append(b.carriers, r.ahead(ctx, c))
	}
	return b
}

// abandon forgets runs whose rows could not be committed: their events are taken again. If
// they were committed all the same, the carrier that they were to join knows nothing of
// them, and they get another.
func (r *relay) abandon(b *beginning) {
	for _, run := range b.runs {
		r.executor.Abandon(run.ID)
		if r.filling != nil && r.filling.id == run.Carrier {
			r.again(run.ID)
		}
	}
	r.mu.Lock()
	for _, run := range b.runs {
		r.shares.drop(run.ID)
	}
	for _, f := range b.failed {
		r.shares.drop(f.run.ID)
	}
	r.mu.Unlock()
	close(b.kept)
}

// ahead has the runs of a carrier worked on before the engine is told of it, in whose
// name that is.
func (r *relay) ahead(ctx context.Context, c carrier) begun {
	requests := r.firsts(c)
	out := begun{carrier: c, ends: len(requests) == len(c.members)}
	if len(requests) == 0 {
		return out
	}
	out.working = new(working)
	if r.filling != nil && r.filling.id == c.id {
		out.working = r.filling.working
	}
	// What is under way when the relay stops comes to its end, as a step does.
	ctx = context.WithoutCancel(ctx)
	for _, req := range requests {
		out.ends = out.ends && req.Finishes
		out.working.Add(1)
		r.aheads.Go(func() {
			defer out.working.Done()
			ctx, cancel := context.WithTimeout(ctx, aheadPatience)
			defer cancel()
			over, err := r.executor.Ahead(ctx, req)
			if err != nil {
				r.logger.DebugContext(ctx, "a step was not performed before its carrier asked for it", "run", req.Owner.Run, "error", err)
			}
			if !over {
				out.working.left.Store(true)
				r.loosen()
			}
		})
	}
	return out
}

// hand has the engine told of carriers whose runs are committed, when the work on them
// is done, or soon.
func (r *relay) hand(ctx context.Context, carriers []begun) {
	for _, c := range carriers {
		if r.filling != nil && r.filling.id == c.id {
			r.filling.members = append(r.filling.members, c.members...)
			r.keep(r.filling.carrier)
			if !c.ends || len(r.filling.members) == carrierSize {
				r.close(ctx)
			}
			continue
		}
		if !r.fill(ctx, c) {
			r.announce(ctx, c.carrier, c.working)
		}
	}
	if r.wanted() {
		r.close(ctx)
	}
}

// announce has the engine told of a carrier when the work on its runs is done, or soon; at
// once, without such work.
func (r *relay) announce(ctx context.Context, c carrier, w *working) {
	r.keep(c)
	r.aheads.Go(func() { r.head(ctx, c, w) })
}

// starts tells the engine of carriers, which the relay does not wait for.
func (r *relay) starts(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-r.headed:
			r.startHeaded(ctx, c)
		case <-r.retry:
			if left := r.waitingForStart(); len(left) > 0 {
				r.startAll(ctx, left)
			} else {
				r.down.Store(false)
			}
		}
	}
}

// startHeaded starts the carriers whose head start is over, together. Those of an
// engine that does not answer wait for the sweep like all others; the sweep may have
// started them.
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
func (r *relay) head(ctx context.Context, c carrier, w *working) {
	if w != nil {
		done := make(chan struct{})
		go func() {
			w.Wait()
			close(done)
		}()
		late := time.NewTimer(headStart)
		defer late.Stop()
		select {
		case <-done:
		case <-late.C:
		case <-ctx.Done():
		}
	}
	select {
	case r.headed <- c:
	case <-ctx.Done():
	}
}
