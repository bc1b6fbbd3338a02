package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/tenonhq/tenon/activities"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

const (
	// sweepEvery finds what a lost bell left in the inbox.
	sweepEvery = time.Second
	// reconcileEvery finds runs whose carrier the engine does not have any more.
	reconcileEvery = 15 * time.Second
	// takeAtOnce bounds the events and commands of one pass.
	takeAtOnce = 256
	// carrierSize is how many runs of straight-through flows one carrier takes
	// at most: measured to cost least at 8 to 16.
	carrierSize = 16
	// startsAtOnce bounds the starts of carriers that are under way together.
	startsAtOnce = 16
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
	capacity     int

	bell    chan struct{}
	requeue chan string

	mu   sync.Mutex
	open map[string]struct{} // runs that a carrier of this process works on
}

// ring wakes the relay; it never blocks.
func (r *relay) ring() {
	select {
	case r.bell <- struct{}{}:
	default:
	}
}

// run works until the context ends. Carriers that are running go on.
func (r *relay) run(ctx context.Context) error {
	if err := r.recover(ctx); err != nil {
		return err
	}
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	reconcile := time.NewTicker(reconcileEvery)
	defer reconcile.Stop()
	for {
		more, err := r.pass(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			r.logger.WarnContext(ctx, "the relay could not do its pass and tries again", "error", err)
		case more:
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.bell:
		case <-sweep.C:
		case <-reconcile.C:
			if err := r.reconcile(ctx); err != nil {
				r.logger.WarnContext(ctx, "open runs could not be compared with the engine", "error", err)
			}
		case run := <-r.requeue:
			if err := r.takeOver(ctx, []string{run}); err != nil {
				r.logger.WarnContext(ctx, "a run could not be taken over and is tried again", "run", run, "error", err)
				r.later(ctx, run)
			}
		}
	}
}

// later puts a run back into the queue for take-over after a pause.
func (r *relay) later(ctx context.Context, run string) {
	go func() {
		t := time.NewTimer(sweepEvery)
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-t.C:
			r.again(run)
		}
	}()
}

// again asks for a run to be taken over by a new carrier.
func (r *relay) again(run string) {
	select {
	case r.requeue <- run:
	default:
		// The queue is full: the reconciliation at the next start finds it.
		r.logger.Warn("too many runs wait to be taken over", "run", run)
	}
}

// pass applies pending commands, then starts runs for pending events.
func (r *relay) pass(ctx context.Context) (more bool, err error) {
	if err := r.applyCommands(ctx); err != nil {
		return false, err
	}
	room := r.capacity - r.openCount()
	if room <= 0 {
		return false, nil
	}
	cursor, err := r.cell.Work().Cursor(ctx, store.CursorEvents)
	if err != nil {
		return false, err
	}
	events, err := r.cell.Door().EventsAfter(ctx, cursor, min(takeAtOnce, room))
	if err != nil || len(events) == 0 {
		return false, err
	}
	runs := make([]store.Run, 0, len(events))
	drafts := make([]store.AuditDraft, 0, len(events))
	for _, ev := range events {
		run := store.Run{
			ID: schema.NewID(schema.PrefixRun), Namespace: ev.Namespace, Event: ev.ID, EventSeq: ev.Seq,
			Flow: ev.Flow, FlowVersion: ev.FlowVersion, Digest: ev.Digest,
			State: store.RunPending, Epoch: 1, CreatedAt: time.Now().UTC(),
		}
		if doc, err := r.executor.Document(ev.Digest); err == nil {
			run.Straight = doc.Straight
		} else {
			r.logger.WarnContext(ctx, "a flow version could not be loaded", "flow", ev.Flow, "error", err)
		}
		runs = append(runs, run)
		drafts = append(drafts, store.AuditDraft{Actor: ev.ID, Action: "run.started", Target: run.ID, Namespace: run.Namespace})
	}
	carriers := assign(runs)
	if err := r.cell.Work().StartRuns(ctx, runs, events[len(events)-1].Seq, drafts); err != nil {
		return false, err
	}
	for i, run := range runs {
		if err := r.executor.Prime(run, events[i]); err != nil {
			r.logger.WarnContext(ctx, "a run could not be primed; it loads itself", "run", run.ID, "error", err)
		}
	}
	r.startAll(ctx, carriers)
	return len(events) == takeAtOnce, nil
}

// assign gives each run its carrier and returns the carriers' members. A run
// that may park is carried alone.
func assign(runs []store.Run) [][]store.Run {
	size := min(carrierSize, (len(runs)+startsAtOnce-1)/startsAtOnce)
	var groups [][]int
	last := -1 // the group of straight-through runs that has room
	for i, run := range runs {
		switch {
		case !run.Straight:
			groups = append(groups, []int{i})
		case last >= 0 && len(groups[last]) < size:
			groups[last] = append(groups[last], i)
		default:
			last = len(groups)
			groups = append(groups, []int{i})
		}
	}
	carriers := make([][]store.Run, len(groups))
	for g, members := range groups {
		carrier := schema.NewID(schema.PrefixCarrier)
		for _, i := range members {
			runs[i].Carrier = carrier
			carriers[g] = append(carriers[g], runs[i])
		}
	}
	return carriers
}

func (r *relay) startAll(ctx context.Context, carriers [][]store.Run) {
	slots := make(chan struct{}, startsAtOnce)
	var wg sync.WaitGroup
	for _, members := range carriers {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := r.start(ctx, members); err != nil && ctx.Err() == nil {
				r.logger.WarnContext(ctx, "a carrier could not be started and is tried again", "carrier", members[0].Carrier, "error", err)
				r.retryStart(ctx, members)
			}
		})
	}
	wg.Wait()
}

// retryStart keeps trying to start a carrier whose membership is committed.
func (r *relay) retryStart(ctx context.Context, members []store.Run) {
	go func() {
		t := time.NewTicker(sweepEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				if r.start(ctx, members) == nil {
					return
				}
			}
		}
	}()
}

// start starts the carrier of these members, exactly as committed. One that
// was started before is left running.
func (r *relay) start(ctx context.Context, members []store.Run) error {
	carrier := members[0].Carrier
	in := task.CarrierInput{Organization: r.organization, Carrier: carrier, Interpreter: task.InterpreterVersion}
	ids := make([]string, 0, len(members))
	for _, m := range members {
		in.Runs = append(in.Runs, task.RunRef{Run: m.ID, Digest: m.Digest, Epoch: m.Epoch})
		ids = append(ids, m.ID)
	}
	_, err := r.engine.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                                       carrier,
		TaskQueue:                                task.Queue,
		WorkflowTaskTimeout:                      task.WorkflowTaskTimeout,
		EnableEagerStart:                         true,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy:                 enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		TypedSearchAttributes:                    temporal.NewSearchAttributes(runsAttribute.ValueSet(ids)),
		Memo:                                     map[string]any{"runs": ids},
	}, task.Carrier, in)
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if err != nil && !errors.As(err, &started) {
		return schema.Errorf(schema.CodeUnavailable, "the engine did not start a carrier: %w", err)
	}
	r.follow(ids)
	return nil
}

var runsAttribute = temporal.NewSearchAttributeKeyKeywordList(task.RunsAttribute)

// follow counts runs as open until the executor ends them.
func (r *relay) follow(ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		r.open[id] = struct{}{}
	}
}

func (r *relay) ended(run string) {
	r.mu.Lock()
	delete(r.open, run)
	full := len(r.open) == r.capacity-1
	r.mu.Unlock()
	if full {
		r.ring()
	}
}

func (r *relay) openCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}
