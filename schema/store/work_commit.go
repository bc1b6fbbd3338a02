package store

import (
	"bytes"
	"context"
	"database/sql"

	"github.com/lib/pq"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store/internal/database"
	"github.com/tenonhq/tenon/schema/store/internal/group"
)

// Commit writes what an owner of a run did, in one transaction. CodeFenced
// means that the run is another's now, or has ended; CodeConflict that a step
// or an effect is already there with other content. Then nothing was written.
// After any other error it may be repeated as it is.
func (w *Work) Commit(ctx context.Context, c RunCommit) error {
	return group.Together(ctx, w.s.w.committer, commits, &c)
}

var commits = group.NewKind(func(t *txn, items []*RunCommit) []error {
	errs := make([]error, len(items))
	if err := t.commitRuns(items, errs); err != nil {
		err = database.Error("commit the run", err)
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
})

// commitRuns sets the errors of the commits that are fenced, and writes the
// others.
func (t *txn) commitRuns(items []*RunCommit, errs []error) error {
	ids := make([]string, len(items))
	for i, c := range items {
		ids[i] = c.Run
	}
	held, err := t.hold(ids)
	if err != nil {
		return err
	}
	owners := make([]*holding, 0, len(items))
	steps := make([][]Step, 0, len(items))
	effects := make([][]Effect, 0, len(items))
	for i, c := range items {
		h := held[c.Run]
		if err := h.fence(c); err != nil {
			errs[i] = group.Refuse(err)
			continue
		}
		h.apply(c)
		owners, steps, effects = append(owners, h), append(steps, c.Steps), append(effects, c.Effects)
		t.audit(c.Audit...)
		if err := t.alert(c.Alerts...); err != nil {
			return err
		}
	}
	if err := t.putSteps(owners, steps); err != nil {
		return err
	}
	if err := t.putEffects(owners, effects); err != nil {
		return err
	}
	return t.putRuns(owners)
}

// holding is what a commit needs to know of a run, and what becomes of it.
type holding struct {
	seq, epoch     int64
	carrier, state string
	started, ended int64
	// due is when a run that waits goes on by itself, after a wait of so long.
	due, waits int64
	errorType  string
	result     []byte
	setResult  bool
	dirty      bool
}

// hold reads the runs under the writers' lock, so that no other transaction
// changes their owners before this one ends.
func (t *txn) hold(ids []string) (map[string]*holding, error) {
	const query = "SELECT id, seq, epoch, carrier, state, started_at, ended_at, due_at, waits_for, error_type FROM runs WHERE id = "
	held := make(map[string]*holding, len(ids))
	read := func(rows *sql.Rows, err error) error {
		_, err = collect("find the run", rows, err, func(row scanner) (struct{}, error) {
			var id string
			h := &holding{}
			err := row.Scan(&id, &h.seq, &h.epoch, &h.carrier, &h.state, &h.started, &h.ended, &h.due, &h.waits, &h.errorType)
			held[id] = h
			return struct{}{}, err
		})
		return err
	}
	if t.Postgres() {
		err := read(t.Query(query+"ANY(?)", pq.StringArray(ids)))
		return held, err
	}
	for _, id := range ids {
		if held[id] != nil {
			continue
		}
		if err := read(t.Query(query+"?", id)); err != nil {
			return nil, err
		}
	}
	return held, nil
}

func (h *holding) fence(c *RunCommit) error {
	switch {
	case h == nil:
		return errNone("find the run")
	case h.carrier != c.Carrier || h.epoch != c.Epoch:
		return schema.Errorf(schema.CodeFenced, "the run has another owner")
	case Terminal(h.state):
		return schema.Errorf(schema.CodeFenced, "the run has ended")
	}
	return nil
}

func (h *holding) apply(c *RunCommit) {
	if c.State != "" && (c.State != h.state || h.due != micros(c.DueAt)) {
		h.state, h.due, h.waits, h.dirty = c.State, micros(c.DueAt), c.WaitsFor.Microseconds(), true
		if Terminal(c.State) {
			h.ended = micros(now())
		}
	}
	if h.started == 0 && c.StartedAt != nil {
		h.started, h.dirty = micros(*c.StartedAt), true
	}
	if c.End != nil {
		// A run is open as long as it has no end: this sets one for certain.
		end := c.End.At
		stamp(&end)
		h.state, h.ended, h.due, h.waits, h.errorType = c.End.State, micros(end), 0, 0, c.End.ErrorType
		h.result, h.setResult, h.dirty = blob(c.End.ResultSealed), true, true
	}
}

// become is what a command makes of a run: one that goes on has no result.
func (h *holding) become(state string) {
	h.state, h.due, h.waits, h.dirty = state, 0, 0, true
	if Terminal(state) {
		h.ended = micros(now())
		return
	}
	h.ended, h.errorType, h.result, h.setResult = 0, "", []byte{}, true
}

// An effect's identity does not change (a key that follows from the run may be left out
// of an update, and stays as it is), and one that is done stays done. Each call
// has one attempt: of two processes that both mean to make the next one, the
// second is refused, and so is what a former attempt came to (invariant 7). Whose call
// it was is of no use once it is done: the same outcome may be written again, and no other.
const effectConflict = `ON CONFLICT (run, key) DO UPDATE SET epoch = excluded.epoch, attempts = excluded.attempts,
updated_at = excluded.updated_at, owner = CASE WHEN excluded.state = 'done' THEN '' ELSE excluded.owner END, state = excluded.state,
outcome_sealed = excluded.outcome_sealed
WHERE effects.id = excluded.id AND effects.digest = excluded.digest AND excluded.idempotency_key IN (effects.idempotency_key, '')
AND (effects.state <> 'done' OR excluded.state = 'done')
AND (excluded.attempts > effects.attempts OR excluded.attempts = effects.attempts AND
CASE WHEN effects.state = 'done' THEN effects.outcome_sealed = excluded.outcome_sealed ELSE effects.owner = excluded.owner END)`

var effectRows = database.NewBulk("effects", effectConflict,
	database.Column{Name: "run", Type: database.Int},
	database.Column{Name: "key", Type: database.Text},
	database.Column{Name: "epoch", Type: database.Int},
	database.Column{Name: "attempts", Type: database.Int},
	database.Column{Name: "created_at", Type: database.Int},
	database.Column{Name: "updated_at", Type: database.Int},
	database.Column{Name: "id", Type: database.Text},
	database.Column{Name: "connection", Type: database.Text},
	database.Column{Name: "action", Type: database.Text},
	database.Column{Name: "idempotency_key", Type: database.Text},
	database.Column{Name: "owner", Type: database.Text},
	database.Column{Name: "state", Type: database.Text},
	database.Column{Name: "digest", Type: database.Bytes},
	database.Column{Name: "outcome_sealed", Type: database.Bytes},
)

func (t *txn) putEffects(owners []*holding, effects [][]Effect) error {
	type place struct {
		run int64
		key string
	}
	// One statement may touch a row once: of several states of one effect only the
	// last is written, if each may follow the one before.
	last := make(map[place]int)
	var rows [][]any
	var kept []Effect
	for i, h := range owners {
		for _, e := range effects[i] {
			stamp(&e.CreatedAt, &e.UpdatedAt)
			row := []any{
				h.seq, e.Key, e.Epoch, int64(e.Attempts), micros(e.CreatedAt), micros(e.UpdatedAt), e.ID, e.Connection, e.Action,
				e.IdempotencyKey, e.Owner, e.State, blob(e.Digest), blob(e.OutcomeSealed),
			}
			at, again := last[place{h.seq, e.Key}]
			switch {
			case !again:
				last[place{h.seq, e.Key}] = len(rows)
				rows, kept = append(rows, row), append(kept, e)
			case !e.follows(kept[at]):
				return otherEffect()
			default:
				rows[at], kept[at] = row, e
			}
		}
	}
	all, err := effectRows.All(t.Tx, rows)
	if err == nil && !all {
		return otherEffect()
	}
	return err
}

// follows is for states of an effect that are written in one transaction, and holds only
// where effectConflict does: all come from one process.
func (e Effect) follows(before Effect) bool {
	return e.ID == before.ID && bytes.Equal(e.Digest, before.Digest) && e.IdempotencyKey == before.IdempotencyKey &&
		(before.State != EffectDone || e.State == EffectDone && bytes.Equal(e.OutcomeSealed, before.OutcomeSealed)) &&
		(e.Attempts > before.Attempts || e.Attempts == before.Attempts && e.Owner == before.Owner)
}

func otherEffect() error {
	return schema.Errorf(schema.CodeConflict, "an effect of the run is in the ledger already, with another request or outcome")
}

const updateRuns = `UPDATE runs SET epoch = v.epoch, carrier = v.carrier, state = v.state, started_at = v.started, ended_at = v.ended,
due_at = v.due, waits_for = v.waits, error_type = v.error, result_sealed = CASE WHEN v.has THEN v.result ELSE result_sealed END
FROM unnest(?::bigint[], ?::bigint[], ?::text[], ?::text[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::text[], ?::boolean[], ?::bytea[])
AS v(seq, epoch, carrier, state, started, ended, due, waits, error, has, result) WHERE runs.seq = v.seq`

const updateRun = `UPDATE runs SET epoch = ?, carrier = ?, state = ?, started_at = ?, ended_at = ?, due_at = ?, waits_for = ?, error_type = ?,
result_sealed = CASE WHEN ? THEN ? ELSE result_sealed END WHERE seq = ?`

func (t *txn) putRuns(held []*holding) error {
	var seqs, epochs, started, ended, due, waits pq.Int64Array
	var carriers, states, errorTypes pq.StringArray
	var has pq.BoolArray
	var results pq.ByteaArray
	for _, h := range held {
		if !h.dirty {
			continue
		}
		h.dirty = false // several commits of one run share its holding
		if !t.Postgres() {
			err := t.Later(updateRun, h.epoch, h.carrier, h.state, h.started, h.ended, h.due, h.waits, h.errorType, h.setResult, h.result, h.seq)
			if err != nil {
				return err
			}
			continue
		}
		seqs, epochs, started, ended = append(seqs, h.seq), append(epochs, h.epoch), append(started, h.started), append(ended, h.ended)
		due, waits = append(due, h.due), append(waits, h.waits)
		carriers, states, errorTypes = append(carriers, h.carrier), append(states, h.state), append(errorTypes, h.errorType)
		has, results = append(has, h.setResult), append(results, h.result)
	}
	if len(seqs) == 0 {
		return nil
	}
	return t.Later(updateRuns, seqs, epochs, carriers, states, started, ended, due, waits, errorTypes, has, results)
}
