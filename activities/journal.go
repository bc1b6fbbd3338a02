package activities

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

func (e *Executor) openRecord(run string, s store.Step) (task.Record, error) {
	plain, err := e.cfg.Data.Open(place.Step(e.cfg.Organization, run, s.Key), s.RecordSealed)
	if err != nil {
		return task.Record{}, err
	}
	var rec task.Record
	if err := json.Unmarshal(plain, &rec); err != nil {
		return task.Record{}, schema.Errorf(schema.CodeInternal, "a journalled step does not parse: %w", err)
	}
	return rec, nil
}

// journal takes a step's record into memory and queues its row for the run's
// next transaction: a step without effect costs no sync of its own, and is in
// the database no later than the intent of the effect that follows from it.
func (e *Executor) journal(st *runState, req task.StepRequest, kind string, started time.Time, rec task.Record) error {
	plain, err := json.Marshal(rec)
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
		RecordSealed: e.cfg.Data.Seal(place.Step(e.cfg.Organization, st.run.ID, req.Key), plain),
	}
	st.keep(req.Key, rec)
	st.mu.Lock()
	st.pending = append(st.pending, row)
	st.mu.Unlock()
	return nil
}

// commit writes what is pending of the run, and c with it, in one transaction
// fenced by the run's carrier and epoch.
func (e *Executor) commit(ctx context.Context, st *runState, c store.RunCommit) error {
	st.mu.Lock()
	c.Run, c.Carrier, c.Epoch = st.run.ID, st.run.Carrier, st.run.Epoch
	c.Steps = st.pending
	c.Effects = append(st.settled[:len(st.settled):len(st.settled)], c.Effects...)
	c.Audit = append(st.audit[:len(st.audit):len(st.audit)], c.Audit...)
	written, settled, audited := len(st.pending), len(st.settled), len(st.audit)
	started := st.running
	if !started {
		at := e.now()
		c.StartedAt = &at
		if c.State == "" && c.End == nil {
			c.State = store.RunRunning
		}
	}
	st.mu.Unlock()

	if err := e.cfg.Cell.Work().Commit(ctx, c); err != nil {
		if schema.CodeOf(err) == schema.CodeFenced {
			e.Forget(st.run.ID)
			return errStopped
		}
		return err
	}
	st.mu.Lock()
	st.pending, st.settled, st.audit = st.pending[written:], st.settled[settled:], st.audit[audited:]
	st.running = true
	for _, ef := range c.Effects {
		st.effects[ef.Key] = ef
	}
	st.mu.Unlock()
	return nil
}
