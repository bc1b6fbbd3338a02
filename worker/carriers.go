package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/crash"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

const (
	// carrierSize is how many runs of straight-through flows one carrier takes
	// at most: measured to cost least at 8 to 16.
	carrierSize = 16
	// startsAtOnce bounds the starts of carriers that are under way together.
	startsAtOnce = 16
	// startPatience bounds one request to the engine, so that an engine that is
	// away holds the relay up no longer.
	startPatience = 5 * time.Second
	// lastWord bounds those of a relay that stops.
	lastWord = time.Second
	// mostUnstarted bounds the carriers that the engine was not told of yet: their runs
	// may come to their ends faster than it takes them.
	mostUnstarted = 4 * startsAtOnce
)

var runsAttribute = temporal.NewSearchAttributeKeyKeywordList(task.RunsAttribute)

// carrier is a workflow with its members, as they are committed; of those some may have
// been refused.
type carrier struct {
	id      string
	members []store.Run
	// recall says that the members were worked on before, for another carrier.
	recall bool
	// open: more members may join.
	open bool
}

// groups divides runs among carriers, by index. Straight-through runs share
// as few as may be; a run that may park is carried alone.
func groups(runs []store.Run) [][]int {
	var out [][]int
	last := -1 // the group of straight-through runs that has room
	for i, run := range runs {
		switch {
		case !run.Straight:
			out = append(out, []int{i})
		case last >= 0 && len(out[last]) < carrierSize:
			out[last] = append(out[last], i)
		default:
			last = len(out)
			out = append(out, []int{i})
		}
	}
	return out
}

// carriersOf gathers runs by the carrier that they are committed to.
func carriersOf(runs []store.Run, recall bool) []carrier {
	at := make(map[string]int)
	var out []carrier
	for _, run := range runs {
		i, ok := at[run.Carrier]
		if !ok {
			i, at[run.Carrier] = len(out), len(out)
			out = append(out, carrier{id: run.Carrier, recall: recall})
		}
		out[i].members = append(out[i].members, run)
	}
	return out
}

// startAll starts carriers, a bounded number at once. Those that the engine
// does not take are kept for the next sweep; after the first that it did not
// answer, the others are not tried.
func (r *relay) startAll(ctx context.Context, carriers []carrier) {
	if len(carriers) == 0 {
		return
	}
	var (
		mu       sync.Mutex
		away     error
		wg       sync.WaitGroup
		slots    = make(chan struct{}, startsAtOnce)
		answered = func() bool {
			mu.Lock()
			defer mu.Unlock()
			return away == nil
		}
	)
	for _, c := range carriers {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if !answered() {
				r.keep(c)
				return
			}
			err := r.start(ctx, c)
			if err == nil {
				crash.At(crash.CarrierStarted)
				r.started(c)
				return
			}
			r.keep(c)
			mu.Lock()
			defer mu.Unlock()
			if refused := new(serviceerror.InvalidArgument); errors.As(err, &refused) {
				r.logger.ErrorContext(ctx, "the engine refuses a carrier; it is tried again", "carrier", c.id, "error", err)
				return
			}
			away = err
		})
	}
	wg.Wait()
	if r.down.Swap(away != nil) && away == nil {
		r.ring()
	}
	r.troubles.about(ctx, "start carriers", away)
}

// start starts a carrier. One that was started before is left running.
func (r *relay) start(ctx context.Context, c carrier) error {
	in := task.CarrierInput{Organization: r.organization, Carrier: c.id, Interpreter: task.InterpreterVersion}
	ids := make([]string, 0, len(c.members))
	for _, m := range c.members {
		in.Runs = append(in.Runs, task.RunRef{Run: m.ID, Digest: m.Digest, Epoch: m.Epoch, Recall: c.recall})
		ids = append(ids, m.ID)
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	_, err := r.engine.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                                       c.id,
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
	return nil
}

// keep notes a carrier until it is started: it is not the engine that lost it.
func (r *relay) keep(c carrier) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unstarted[c.id] = c
}

func (r *relay) started(c carrier) {
	r.mu.Lock()
	_, was := r.unstarted[c.id]
	behind := was && len(r.unstarted) == mostUnstarted
	delete(r.unstarted, c.id)
	r.mu.Unlock()
	if behind {
		r.ring()
	}
}

// behind tells whether the engine is to take carriers first.
func (r *relay) behind() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.unstarted) >= mostUnstarted
}

// waitingForStart are the carriers that the engine is to be told of, without the one that
// more runs may join: it is told of exactly the members that are committed.
func (r *relay) waitingForStart() []carrier {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]carrier, 0, len(r.unstarted))
	for _, c := range r.unstarted {
		if !c.open {
			out = append(out, c)
		}
	}
	return out
}
