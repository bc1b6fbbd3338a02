package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/pack"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// worthNaming is from how many bytes on a value is not written again where its name
// does.
const worthNaming = 64

// seal packs a value of a run and seals it; unseal undoes that.
func (e *Executor) seal(at seal.Place, plain []byte) []byte {
	return e.cfg.Data.Seal(at, pack.Pack(plain))
}

func (e *Executor) unseal(at seal.Place, sealed []byte) ([]byte, error) {
	packed, err := e.cfg.Data.Open(at, sealed)
	if err != nil {
		return nil, err
	}
	return pack.Unpack(packed)
}

// openRecord opens a step's record; output tells the output of an effect of the run.
func (e *Executor) openRecord(run string, s store.Step, output func(effect string) (json.RawMessage, error)) (task.Record, error) {
	plain, err := e.unseal(place.Step(e.cfg.Organization, run, s.Key), s.RecordSealed)
	if err != nil {
		return task.Record{}, err
	}
	var rec task.Record
	if err := json.Unmarshal(plain, &rec); err != nil {
		return task.Record{}, schema.Errorf(schema.CodeInternal, "a journalled step does not parse: %w", err)
	}
	return rec, rec.Fill(output)
}

// journal takes a step's record into memory and queues its row for the run's
// next transaction: a step without effect costs no sync of its own, and is in
// the database no later than the intent of the effect that follows from it.
// With owed the record is told only when it is durable. With parks the transaction that
// has the step says that the run waits: no other has it.
func (e *Executor) journal(st *runState, req task.StepRequest, kind string, started time.Time, rec task.Record, owed, parks bool) error {
	rec.From = st.ledgered(req.Effect, rec.Values)
	plain, err := json.Marshal(rec.Kept())
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "a step's record does not encode: %w", err)
	}
	state := store.StepDone
	switch {
	case rec.Result.Fault != nil:
		state = store.StepFailed
	case rec.Result.Skipped:
		state = store.StepSkipped
	}
	row := store.Step{
		Run: st.run.ID, Key: req.Key, Pointer: req.Pointer, Kind: kind, Phase: string(req.Phase), State: state,
		StartedAt: started, EndedAt: e.now(),
		RecordSealed: e.seal(place.Step(e.cfg.Organization, st.run.ID, req.Key), plain),
	}
	st.mu.Lock()
	st.pending = append(st.pending, row)
	st.owes = st.owes || owed
	if parks {
		st.parking = st.park(req.Key, rec, e.now())
	}
	st.mu.Unlock()
	st.keep(req.Key, rec)
	return nil
}

// ledgered finds those of a step's values that are the output of its effect. The
// outcome is in the ledger no later than the step is in the journal: what is settled
// is written with what is pending.
func (st *runState) ledgered(effect string, values map[task.Ref]json.RawMessage) (from map[task.Ref]string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	effect = askedAs(effect)
	done, ok := st.done[effect]
	if !ok {
		return nil
	}
	delete(st.done, effect)
	for ref, v := range values {
		if len(v) >= worthNaming && bytes.Equal(v, done.output) {
			if from == nil {
				from = make(map[task.Ref]string, 1)
			}
			from[ref] = done.key
		}
	}
	return from
}

// commit writes what is pending of the run, and c with it, in one transaction
// fenced by the run's carrier and epoch. It returns errStopped when another owns
// the run, and errLost when the database knows more of it than this process.
func (e *Executor) commit(ctx context.Context, st *runState, c store.RunCommit) error {
	err := e.write(ctx, st, c)
	switch schema.CodeOf(err) { //nolint:exhaustive // The others are the infrastructure's.
	case schema.CodeFenced, schema.CodeNotFound:
		e.drop(st)
		return errStopped
	case schema.CodeConflict:
		return errLost
	}
	if err == nil && st.rests() {
		e.cfg.Ended(st.run.ID)
	}
	return err
}

// drop forgets a state, unless the run has a newer one by now.
func (e *Executor) drop(st *runState) {
	e.mu.Lock()
	current := e.runs[st.run.ID] == st
	e.mu.Unlock()
	if current {
		e.Forget(st.run.ID)
	}
}

func begins(effects []store.Effect) bool {
	return slices.ContainsFunc(effects, func(ef store.Effect) bool { return ef.State == store.EffectIntent })
}

func (e *Executor) write(ctx context.Context, st *runState, c store.RunCommit) error {
	if err := st.await(ctx); err != nil {
		return err
	}
	st.commits.Lock()
	defer st.commits.Unlock()
	if st.dead || st.ending && c.End == nil && begins(c.Effects) {
		return errStopped
	}
	st.mu.Lock()
	c.Run, c.Carrier, c.Epoch = st.run.ID, st.run.Carrier, st.run.Epoch
	c.Steps = st.pending
	c.Effects = append(st.settled[:len(st.settled):len(st.settled)], c.Effects...)
	c.Audit = append(st.audit[:len(st.audit):len(st.audit)], c.Audit...)
	written, settled, audited := len(st.pending), len(st.settled), len(st.audit)
	started, parking := st.running, st.parking
	rests := parking != nil && parking.kept
	if (started || rests) && c.State == "" && c.End == nil && written+len(c.Effects)+len(c.Audit) == 0 {
		st.mu.Unlock()
		return nil // Another has written all of it already.
	}
	if !started {
		at := e.now()
		c.StartedAt = &at
	}
	if c.State == "" && c.End == nil {
		switch {
		case rests: // What a step came to that the run has left behind, by a timeout, is no end of its wait.
		case parking != nil:
			c.State, c.DueAt, c.WaitsFor = store.RunWaiting, parking.due, parking.wait
		case !started:
			c.State = store.RunRunning
		}
	}
	st.mu.Unlock()

	rows := c
	rows.Effects = e.kept(st.run.ID, c.Effects)
	if err := e.cfg.Cell.Work().Commit(ctx, rows); err != nil {
		return err
	}
	if c.State == store.RunWaiting {
		e.mu.Lock()
		st.heard.Works = false
		e.mu.Unlock()
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.pending, st.settled, st.audit = st.pending[written:], st.settled[settled:], st.audit[audited:]
	if c.State == store.RunWaiting && parking != nil {
		parking.kept = true
	}
	st.waiting = c.State == store.RunWaiting || c.State == "" && rests
	st.running = !st.waiting
	// What was journalled meanwhile, by another stretch of the run, is still owed.
	st.owes = st.owes && len(st.pending) > 0
	for _, ef := range c.Effects {
		st.effects[ef.Key] = ef
		if ef.State != store.EffectIntent {
			// What the call came to is on the disk: no other owner needs it from here.
			e.lanes.take(lane(st.run.ID, ef.Key))
		}
	}
	return nil
}
