package worker

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/tenonhq/tenon/activities"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/crash"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	// sweepEvery finds what a lost bell left in the inbox, and is the pause
	// before what failed is tried again.
	sweepEvery = time.Second
	// reconcileEvery finds runs whose carrier the engine does not have any more.
	reconcileEvery = 15 * time.Second
	// takeAtOnce bounds the events and commands of one pass.
	takeAtOnce = 256
	// defaultCapacity bounds the runs carried at once.
	defaultCapacity = 1024
)

// relay takes what is pending in the door and gives it to carriers: at least
// once from the inbox to the engine, exactly one run per event, by membership
// that is committed before a carrier starts.
type relay struct {
	organization string
	cell         *store.Cell
	data         seal.DataKeys
	engine       client.Client
	executor     *activities.Executor
	logger       *slog.Logger

	bell chan struct{}
	// loose tells that the carrier that is being filled may be wanted.
	loose chan struct{}
	// raised tells of an alert to send, telling while one may be.
	raised  chan struct{}
	telling atomic.Bool
	// down says that the engine did not take the last carriers: nothing more is
	// taken from the inbox until it does, so that what piles up stays there.
	down     atomic.Bool
	troubles troubles
	// sealing tells whether the cell still seals anew under new keys.
	sealing func() bool
	// aheads are what is worked on before a carrier asks for it; headed are carriers
	// whose head start is over. retry has all tried again that the engine does not know.
	aheads sync.WaitGroup
	headed chan carrier
	retry  chan struct{}
	// rest, stills and cursors are the relay's goroutine's alone, and so are filling, the
	// carrier that new runs join, or nil, and left: the runs of the process before that are
	// still to be taken up. cursors are those, by
	// name, that are known to be where the relay, which alone moves them, has read or
	// committed them.
	rest    rest
	cursors map[string]int64
	stills  map[string]still
	stilled time.Time
	left    []store.Run
	filling *filling

	mu     sync.Mutex
	shares *shares
	// lost are runs that need a new carrier.
	lost map[string]struct{}
	// unstarted are carriers, by id, that are committed but that the engine
	// was not told of yet.
	unstarted map[string]carrier
}

func newRelay(organization string, cell *store.Cell, data seal.DataKeys, engine client.Client, capacity int, logger *slog.Logger) *relay {
	if capacity <= 0 {
		capacity = defaultCapacity
	}
	return &relay{
		organization: organization, cell: cell, data: data, engine: engine, logger: logger,
		bell: make(chan struct{}, 1), loose: make(chan struct{}, 1), raised: make(chan struct{}, 1), sealing: func() bool { return false }, troubles: troubles{logger: logger},
		cursors: make(map[string]int64), headed: make(chan carrier, carrierSize), retry: make(chan struct{}, 1),
		shares: newShares(capacity), lost: make(map[string]struct{}), unstarted: make(map[string]carrier),
	}
}

// ring wakes the relay; it never blocks.
func (r *relay) ring() { signal(r.bell) }

// loosen has the relay look whether the carrier that is being filled is wanted.
func (r *relay) loosen() { signal(r.loose) }

// signal leaves one word in the channel, unless one is there that was not heard yet.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run works until the context ends. Carriers that are running go on.
func (r *relay) run(ctx context.Context) {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	reconcile := time.NewTicker(reconcileEvery)
	defer reconcile.Stop()
	recovered := false
	r.rest.worked()
	var starting sync.WaitGroup
	starting.Go(func() { r.starts(ctx) })
	for ctx.Err() == nil {
		if !recovered {
			recovered = r.troubles.about(ctx, "take up the runs of the process before", r.recover(ctx)) &&
				r.troubles.about(ctx, "take up the test calls of the process before", r.executor.ResumeTests(ctx))
		}
		more := recovered && r.pass(ctx)
		if more {
			r.ring() // The sweep has its turn in a flood, too.
		}
		select {
		case <-ctx.Done():
		case <-r.bell:
		case <-r.full():
			r.close(ctx)
		case <-r.loose:
			if r.wanted() {
				r.close(ctx)
			}
		case <-sweep.C:
			r.sweep(ctx)
			if recovered {
				r.doze(ctx)
			}
		case <-reconcile.C:
			if recovered {
				r.troubles.about(ctx, "compare the open runs with the engine", r.reconcile(ctx))
				r.flush(ctx)
			}
		}
	}
	r.close(ctx)
	r.aheads.Wait()
	starting.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startPatience)
	defer cancel()
	r.flush(ctx)
	// The engine is to know of runs that have ended, too; the live steps of others need
	// what time there is to drain.
	last, done := context.WithTimeout(ctx, lastWord)
	defer done()
	r.startAll(last, r.waitingForStart())
}

// sweep tries again what did not succeed before.
func (r *relay) sweep(ctx context.Context) {
	r.mu.Lock()
	r.shares.stir() // A limit may have been raised.
	r.mu.Unlock()
	signal(r.retry)
	if lost := r.takeLost(); len(lost) > 0 {
		r.takeOver(ctx, lost)
	}
}

// pass takes up some of the runs that were left, starts runs for pending events,
// applies pending commands, then starts runs that waited. It reports whether there
// is more to do at once.
func (r *relay) pass(ctx context.Context) (more bool) {
	r.takeUp(ctx)
	more, err := r.takeEvents(ctx)
	more = r.troubles.about(ctx, "take events from the inbox", err) && more
	r.troubles.about(ctx, "apply commands", r.applyCommands(ctx))
	r.troubles.about(ctx, "start the runs that waited", r.startWaiting(ctx))
	return more || len(r.left) > 0 && !r.behind()
}

func (r *relay) takeEvents(ctx context.Context) (more bool, err error) {
	if r.down.Load() || r.behind() {
		return false, nil
	}
	cursor, err := r.cursor(ctx, store.CursorEvents)
	if err != nil {
		return false, err
	}
	events, err := r.cell.Door().EventsAfter(ctx, cursor, takeAtOnce)
	if err != nil || len(events) == 0 {
		return false, err
	}
	r.rest.worked()
	more = len(events) == takeAtOnce
	admitted, err := r.admit(ctx, events)
	if err != nil {
		return false, err
	}
	runs := make([]store.Run, 0, len(events))
	drafts := make([]store.AuditDraft, 0, len(events))
	for _, ev := range events {
		// Invariant 7: whatever is restored, the run of an event has the same id, and
		// with it the same idempotency keys.
		id, err := schema.Retype(schema.PrefixRun, ev.ID)
		if err != nil {
			return false, err
		}
		run := store.Run{
			ID: id, Namespace: ev.Namespace, Event: ev.ID, EventSeq: ev.Seq,
			Flow: ev.Flow, FlowVersion: ev.FlowVersion, Digest: ev.Digest, OrderKey: ev.OrderKey,
			State: store.RunPending, Epoch: 1, CreatedAt: time.Now().UTC(),
		}
		doc, err := r.executor.Document(ev.Digest) //nolint:contextcheck // Workflow code asks for documents without one.
		switch {
		case err == nil:
			run.Straight = doc.Straight
		case passing(err):
			return false, err
		}
		runs = append(runs, run)
		drafts = append(drafts, store.AuditDraft{Actor: ev.ID, Action: "run.started", Target: run.ID, Namespace: run.Namespace})
	}
	r.assignThose(runs, admitted)
	begun := r.beginEarly(ctx, runs, events, admitted)
	last := events[len(events)-1].Seq
	delete(r.cursors, store.CursorEvents) // What fails may be committed all the same.
	r.line(events, admitted)
	if err := r.cell.Work().StartRuns(ctx, runs, last, drafts); err != nil {
		r.abandon(begun)
		return false, err
	}
	r.cursors[store.CursorEvents] = last
	crash.At(crash.RunsKept)
	close(begun.kept)
	for _, f := range begun.failed {
		r.refuse(ctx, f.run, f.cause)
	}
	r.hand(ctx, begun.carriers)
	return more && !r.down.Load(), nil
}

// cursor is where a cursor is, which is read once unless it may have moved.
func (r *relay) cursor(ctx context.Context, name string) (int64, error) {
	if at, ok := r.cursors[name]; ok {
		return at, nil
	}
	at, err := r.cell.Work().SettledCursor(ctx, name)
	if err == nil {
		r.cursors[name] = at
	}
	return at, err
}

// assignThose gives carriers to the runs that are admitted, and none to the others.
func (r *relay) assignThose(runs []store.Run, admitted []bool) {
	those := make([]store.Run, 0, len(runs))
	for i, run := range runs {
		if admitted[i] {
			those = append(those, run)
		}
	}
	r.assign(those)
	for i := range runs {
		if admitted[i] {
			runs[i].Carrier, those = those[0].Carrier, those[1:]
		}
	}
}

// refuse ends a run that no carrier can work on, for a reason that lies in what
// is stored; for another reason, it is tried again.
func (r *relay) refuse(ctx context.Context, run store.Run, cause error) {
	if !passing(cause) {
		if cause = r.executor.Refuse(ctx, run, cause); cause == nil {
			return
		}
	}
	r.troubles.about(ctx, "load a run", cause)
	r.again(run.ID)
}

// passing tells whether an error is the infrastructure's and may pass.
func passing(err error) bool {
	switch schema.CodeOf(err) { //nolint:exhaustive // The others are of what is stored.
	case schema.CodeUnavailable, schema.CodeTimeout:
		return true
	}
	return false
}

// follow counts runs as open until the executor ends them.
func (r *relay) follow(runs []store.Run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range runs {
		if run.State != store.RunWaiting {
			r.shares.add(run.ID, run.Flow)
		}
	}
}

// ended is told when this process works on a run no more, for now or for good:
// another one's turn may have come.
func (r *relay) ended(run string) {
	r.mu.Lock()
	r.shares.drop(run)
	waited := r.shares.stir()
	quiet := len(r.shares.open) == 0
	r.mu.Unlock()
	if quiet {
		r.loosen()
	}
	if waited {
		r.ring()
	}
}

func (r *relay) openCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.shares.open)
}
