package activities

import (
	"context"
	"encoding/json"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

var (
	// errStopped answers an executor whose carrier does not own the run any more.
	errStopped = schema.Errorf(schema.CodeFenced, "this carrier does not work on the run any more")
	// errLost answers a step whose input was computed by a process that died
	// before it was journalled: the run is walked again from the journal.
	errLost = schema.Errorf(schema.CodeInternal, "a value of the run was not journalled before its process ended")
)

// runState is one run as this process knows it: the journal, and what was
// computed since and waits for the next transaction.
type runState struct {
	// commits lets one transaction of the run happen at a time: two would write
	// the same pending rows and then drop rows that neither wrote. It guards
	// dead and ending, too.
	commits sync.Mutex
	// dead: this process has dropped the state; it writes no more. ending: the
	// run is being ended; no call may begin any more.
	dead, ending bool
	// kept is closed when the run's row is committed, or the state dead; nil: it is.
	kept <-chan struct{}
	// there: it is known to be.
	there atomic.Bool

	mu      sync.Mutex
	run     store.Run
	plan    *plan
	values  map[task.Ref]json.RawMessage
	records map[string]task.Record
	effects map[string]store.Effect
	// done are the outputs of effects that this process has settled and not journalled
	// yet, by the effect that their step asked for.
	done map[string]outputOf
	// lineage is set for a replay with the same effects.
	lineage *lineage
	pending []store.Step
	settled []store.Effect
	audit   []store.AuditDraft
	// lists are the collections of loops, parsed once.
	lists map[task.Ref][]json.RawMessage
	// foreseen are, by step, evaluations that were done before the step began.
	foreseen map[string]foreseen
	// repeats counts, by step, how often an effect with an unknown outcome was
	// asked for again.
	repeats map[string]int
	// bytes is what the run's values weigh.
	bytes int
	// heard is what its carrier did last; the executor's lock guards it.
	heard Heard
	// asked: its carrier has asked for a step; the executor's lock guards it.
	asked bool
	// running: the run's row says so. waiting: it says that the run waits.
	running, waiting bool
	// owes: something was journalled that must be durable before it is told.
	owes bool
	// parking is what the run waits for, from when that is journalled until its next
	// step begins.
	parking *parking
}

// outputOf is the output of the effect that the ledger has under the key.
type outputOf struct {
	key    string
	output json.RawMessage
}

func newRunState(run store.Run, p *plan, input json.RawMessage) *runState {
	return &runState{
		run: run, plan: p, bytes: len(input),
		values:  map[task.Ref]json.RawMessage{task.RunInput: input},
		records: make(map[string]task.Record),
		effects: make(map[string]store.Effect),
		done:    make(map[string]outputOf),
		lists:   make(map[task.Ref][]json.RawMessage),
		repeats: make(map[string]int),
	}
}

// Prime makes a fresh run known from what the relay holds already, so that its
// first step reads nothing. The run's row is committed when kept is closed, or, if that
// is nil, already: until then its steps are worked on, but nothing of them is written,
// and no request leaves. A run whose row could not be committed is forgotten before.
func (e *Executor) Prime(run store.Run, event store.Event, kept <-chan struct{}) error {
	p, err := e.plan(run.Digest)
	if err != nil {
		return err
	}
	input, err := e.input(event)
	if err != nil {
		return err
	}
	before, err := e.lineage(context.Background(), event)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.runs[run.ID]; !ok {
		st := newRunState(run, p, input)
		st.lineage, st.kept = before, kept
		e.runs[run.ID] = st
	}
	return nil
}

// await waits until the run's row is committed.
func (st *runState) await(ctx context.Context) error {
	if st.kept == nil || st.there.Load() {
		return nil
	}
	select {
	case <-st.kept:
	case <-ctx.Done():
		return schema.Errorf(schema.CodeUnavailable, "the run could not be written in time: %w", ctx.Err())
	}
	st.commits.Lock()
	defer st.commits.Unlock()
	if st.dead {
		return errStopped
	}
	st.there.Store(true)
	return nil
}

func (e *Executor) input(event store.Event) (json.RawMessage, error) {
	plain, err := e.unseal(place.Event(e.cfg.Organization, event.ID), event.PayloadSealed)
	if err != nil {
		return nil, err
	}
	var payload config.Event
	if err := json.Unmarshal(plain, &payload); err != nil {
		return nil, schema.Errorf(schema.CodeInternal, "a stored event does not parse: %w", err)
	}
	return payload.Input(), nil
}

// state returns the run for its owner. When this process does not hold it, it is
// loaded for an owner that recalls its journal, or for one that waited: a wait
// is on the disk with all before it. Any other owner may have been told of
// steps that were never journalled, and would go on from decisions that the
// next walk does not come to again: it gets errLost.
func (e *Executor) state(ctx context.Context, o task.Owner, recalls bool) (*runState, error) {
	e.mu.Lock()
	st, ok := e.runs[o.Run]
	e.asks++
	heard := Heard{Asks: e.asks, Works: !recalls}
	if ok {
		st.heard = heard
	}
	e.mu.Unlock()
	if ok && st.run.Carrier == o.Carrier && st.run.Epoch == o.Epoch {
		return st, nil
	}
	if ok && st.run.Epoch > o.Epoch {
		return nil, errStopped
	}
	st, err := e.load(ctx, o)
	if err != nil {
		return nil, err
	}
	if !recalls && !st.waiting {
		return nil, errLost
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if other, ok := e.runs[o.Run]; ok && other.run.Epoch >= st.run.Epoch {
		return other, nil
	}
	st.heard = heard
	e.runs[o.Run] = st
	return st, nil
}

// Heard is what this process has heard of a run's carrier; the zero value is that
// of a run that it does not hold.
type Heard struct {
	// Asks is another number each time that a carrier asks for something.
	Asks uint64
	// Works: it asked for a step since it was told to wait, or recalled the journal. The
	// run's row says that it waits until the next transaction all the same.
	Works bool
	// Put is how long the step that it asked for was put off: it is silent meanwhile.
	Put time.Duration
}

// Heard tells what was heard of the run's carrier last.
func (e *Executor) Heard(run string) Heard {
	e.mu.Lock()
	defer e.mu.Unlock()
	if st, ok := e.runs[run]; ok {
		return st.heard
	}
	return Heard{}
}

func (e *Executor) load(ctx context.Context, o task.Owner) (*runState, error) {
	run, steps, effects, err := e.cfg.Cell.Work().LoadRun(ctx, o.Run)
	if err != nil {
		if schema.CodeOf(err) == schema.CodeNotFound {
			return nil, errStopped
		}
		return nil, err
	}
	if run.Carrier != o.Carrier || run.Epoch != o.Epoch || store.Terminal(run.State) {
		return nil, errStopped
	}
	p, err := e.plan(run.Digest)
	if err != nil {
		return nil, err
	}
	event, err := e.cfg.Cell.Door().GetEvent(ctx, run.Namespace, run.Event)
	if err != nil {
		return nil, err
	}
	input, err := e.input(event)
	if err != nil {
		return nil, err
	}
	st := newRunState(run, p, input)
	if st.lineage, err = e.lineage(ctx, event); err != nil {
		return nil, err
	}
	st.running, st.waiting = run.State == store.RunRunning, run.State == store.RunWaiting
	if st.waiting {
		st.parking = &parking{kept: true}
	}
	outputs := e.outputs(effects)
	var waits []string
	for _, s := range steps {
		rec, err := e.openRecord(run.ID, s, outputs)
		if err != nil {
			return nil, err
		}
		if s.Phase != string(task.PhaseTimeout) && rec.Result.Wait > 0 {
			waits = append(waits, s.Key)
		}
		st.keep(s.Key, rec)
	}
	for _, ef := range effects {
		st.effects[ef.Key] = e.read(ef)
	}
	e.wake(st, waits)
	return st, nil
}

// Forget drops what this process holds of a run, as Leave does, and since when its
// steps are put off: it has ended, or begins anew.
func (e *Executor) Forget(run string) {
	e.mu.Lock()
	delete(e.puts, run)
	delete(e.waited, run)
	e.mu.Unlock()
	e.Leave(run)
}

// Leave drops what this process holds of a run, for another carrier of it. When it
// returns, nothing that was held is being written any more, so that what is read
// next is current.
func (e *Executor) Leave(run string) {
	e.Abandon(run)
	e.cfg.Ended(run)
}

// Abandon is Leave for a run that was primed and could not be committed: nobody is told,
// since nobody knows of it.
func (e *Executor) Abandon(run string) {
	e.mu.Lock()
	st := e.runs[run]
	delete(e.runs, run)
	e.mu.Unlock()
	if st != nil {
		st.commits.Lock()
		st.dead = true
		st.commits.Unlock()
	}
}

// keep takes a record into memory.
func (st *runState) keep(key string, rec task.Record) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.records[key] = rec
	st.bytes += weight(rec)
	maps.Copy(st.values, rec.Values)
}

// lend makes values readable while their own step is still being performed.
func (st *runState) lend(values map[task.Ref]json.RawMessage) {
	st.mu.Lock()
	defer st.mu.Unlock()
	maps.Copy(st.values, values)
}

func (st *runState) recorded(key string) (task.Record, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	r, ok := st.records[key]
	return r, ok
}

func (st *runState) value(ref task.Ref) (json.RawMessage, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if v, ok := st.values[ref]; ok {
		return v, nil
	}
	return nil, errLost
}

// context returns the run's context; it starts as an empty object.
func (st *runState) context(ref task.Ref) (json.RawMessage, error) {
	if ref == task.NoContext {
		return json.RawMessage("{}"), nil
	}
	return st.value(ref)
}
