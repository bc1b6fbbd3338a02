package store

import (
	"context"
	"time"

	"github.com/tenonhq/tenon/schema/store/internal/database"
)

var runRows = database.NewBulk("runs", "ON CONFLICT DO NOTHING",
	database.Column{Name: "seq", Type: database.Int},
	database.Column{Name: "created_at", Type: database.Int},
	database.Column{Name: "started_at", Type: database.Int},
	database.Column{Name: "ended_at", Type: database.Int},
	database.Column{Name: "due_at", Type: database.Int},
	database.Column{Name: "waits_for", Type: database.Int},
	database.Column{Name: "epoch", Type: database.Int},
	database.Column{Name: "program", Type: database.Int},
	database.Column{Name: "id", Type: database.Text},
	database.Column{Name: "event", Type: database.Text},
	database.Column{Name: "carrier", Type: database.Text},
	database.Column{Name: "state", Type: database.Text},
	database.Column{Name: "error_type", Type: database.Text},
	database.Column{Name: "order_key", Type: database.Text},
	database.Column{Name: "result_sealed", Type: database.Bytes},
)

// row is a new run's. program is the number of its program.
func (r Run) row(program int64) []any {
	return []any{
		r.EventSeq, micros(r.CreatedAt), int64(0), int64(0), int64(0), int64(0), r.Epoch, program,
		r.ID, r.keptEvent(), r.Carrier, RunPending, "", r.OrderKey,
		[]byte{},
	}
}

const selectRuns = `SELECT seq, id, namespace, event, flow, flow_version, digest, straight, carrier, epoch, state,
created_at, started_at, ended_at, due_at, waits_for, error_type, result_sealed, order_key FROM runs JOIN programs USING (program) `

func scanRun(row scanner) (Run, error) {
	var r Run
	var created, started, ended, due, waits int64
	err := row.Scan(&r.EventSeq, &r.ID, &r.Namespace, &r.Event, &r.Flow, &r.FlowVersion, &r.Digest, &r.Straight, &r.Carrier,
		&r.Epoch, &r.State, &created, &started, &ended, &due, &waits, &r.ErrorType, &r.ResultSealed, &r.OrderKey)
	r.CreatedAt, r.StartedAt, r.EndedAt = fromMicros(created), fromMicrosAt(started), fromMicrosAt(ended)
	r.DueAt, r.WaitsFor = fromMicrosAt(due), time.Duration(waits)*time.Microsecond
	r.ResultSealed = some(r.ResultSealed)
	if err == nil {
		r.Event, err = eventOf(r.ID, r.Event)
	}
	return r, err
}

// LoadRun finds a run with its journal and its effects.
func (w *Work) LoadRun(ctx context.Context, id string) (Run, []Step, []Effect, error) {
	rows, err := w.s.Query(ctx, selectRuns+"WHERE id = ?", id)
	run, err := single("find the run", rows, err, scanRun)
	if err != nil {
		return Run{}, nil, nil, err
	}
	steps, err := w.ListSteps(ctx, id)
	if err != nil {
		return Run{}, nil, nil, err
	}
	effects, err := w.ListEffects(ctx, id)
	if err != nil {
		return Run{}, nil, nil, err
	}
	return run, steps, effects, nil
}

// GetRun finds a run of the namespace.
func (w *Work) GetRun(ctx context.Context, namespace, id string) (Run, error) {
	rows, err := w.s.Query(ctx, selectRuns+"WHERE id = ? AND namespace = ?", id, namespace)
	return single("find the run", rows, err, scanRun)
}

// OpenRuns lists the runs that have a carrier and have not ended, oldest first.
func (w *Work) OpenRuns(ctx context.Context) ([]Run, error) {
	rows, err := w.s.Query(ctx, selectRuns+"WHERE "+carried+" ORDER BY seq")
	return collect("list the runs", rows, err, scanRun)
}

// ListRuns lists runs, newest first.
func (w *Work) ListRuns(ctx context.Context, f RunFilter) ([]Run, error) {
	var where []string
	var args []any
	add := func(condition, value string) {
		if value != "" {
			where, args = append(where, condition), append(args, value)
		}
	}
	add("namespace = ?", f.Namespace)
	add("flow = ?", f.Flow)
	add("state = ?", f.State)
	add("seq < (SELECT seq FROM runs WHERE id = ?)", f.After)
	rows, err := w.s.Query(ctx, selectRuns+whereAll(where)+"ORDER BY seq DESC LIMIT ?", append(args, limit(f.Limit))...)
	return collect("list the runs", rows, err, scanRun)
}

// ListEffects lists a run's effects in the order in which they were intended.
func (w *Work) ListEffects(ctx context.Context, run string) ([]Effect, error) {
	rows, err := w.s.Query(ctx, `SELECT e.id, e.key, e.connection, e.action, e.digest, e.idempotency_key, e.epoch, e.owner, e.state,
e.attempts, e.outcome_sealed, e.created_at, e.updated_at
FROM effects e JOIN runs r ON r.seq = e.run WHERE r.id = ? ORDER BY e.created_at, e.key`, run)
	return collect("list the effects", rows, err, func(row scanner) (Effect, error) {
		e := Effect{Run: run}
		var created, updated int64
		err := row.Scan(&e.ID, &e.Key, &e.Connection, &e.Action, &e.Digest, &e.IdempotencyKey, &e.Epoch, &e.Owner, &e.State,
			&e.Attempts, &e.OutcomeSealed, &created, &updated)
		e.CreatedAt, e.UpdatedAt = fromMicros(created), fromMicros(updated)
		e.Digest, e.OutcomeSealed = some(e.Digest), some(e.OutcomeSealed)
		return e, err
	})
}

// RunOf finds the run that an event became; CodeNotFound until it has.
func (w *Work) RunOf(ctx context.Context, event Event) (Run, error) {
	const doing = "find the run of the event"
	rows, err := w.s.Query(ctx, selectRuns+"WHERE seq = ?", event.Seq)
	run, err := single(doing, rows, err, scanRun)
	if err == nil && run.Event != event.ID {
		return Run{}, errNone(doing)
	}
	return run, err
}

// LineageEffects lists the effects of the runs of several events, in the order of
// the events; root is the run of the first.
func (w *Work) LineageEffects(ctx context.Context, events []int64) (root string, out []Effect, err error) {
	for _, seq := range events {
		rows, err := w.s.Query(ctx, "SELECT id FROM runs WHERE seq = ?", seq)
		ids, err := collect("find the run of the event", rows, err, func(row scanner) (string, error) {
			var id string
			return id, row.Scan(&id)
		})
		if err != nil {
			return "", nil, err
		}
		for _, id := range ids {
			if root == "" {
				root = id
			}
			effects, err := w.ListEffects(ctx, id)
			if err != nil {
				return "", nil, err
			}
			out = append(out, effects...)
		}
	}
	return root, out, nil
}
