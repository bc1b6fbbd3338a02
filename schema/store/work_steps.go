package store

import (
	"bytes"
	"context"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store/internal/database"
	"github.com/tenonhq/tenon/schema/task"
)

var stepRows = database.NewBulk("steps", "ON CONFLICT (run, key) DO NOTHING",
	database.Column{Name: "run", Type: database.Int},
	database.Column{Name: "key", Type: database.Text},
	database.Column{Name: "started_at", Type: database.Int},
	database.Column{Name: "ended_at", Type: database.Int},
	database.Column{Name: "pointer", Type: database.Text},
	database.Column{Name: "kind", Type: database.Text},
	database.Column{Name: "phase", Type: database.Text},
	database.Column{Name: "state", Type: database.Text},
	database.Column{Name: "record_sealed", Type: database.Bytes},
)

// usualPhase is the phase of most steps.
const usualPhase = string(task.PhaseWhole)

// usualPointer is the step's key, in that phase: keys of others have more in them.
func (s Step) usualPointer() string {
	if s.Phase == usualPhase {
		return s.Key
	}
	return ""
}

// unless is what a row keeps of a text: nothing of the one that most rows would have.
func unless(usual, text string) string {
	if text == usual {
		return ""
	}
	return text
}

// orElse gives the usual text for what unless left out.
func orElse(usual, kept string) string {
	if kept == "" {
		return usual
	}
	return kept
}

func (t *txn) putSteps(owners []*holding, steps [][]Step) error {
	var rows [][]any
	for i, h := range owners {
		for _, s := range steps[i] {
			rows = append(rows, []any{
				h.seq, s.Key, micros(s.StartedAt), micros(s.EndedAt), unless(s.usualPointer(), s.Pointer), s.Kind, unless(usualPhase, s.Phase),
				unless(StepDone, s.State), blob(s.RecordSealed),
			})
		}
	}
	if all, err := stepRows.All(t.Tx, rows); all || err != nil {
		return err
	}
	// Some were there before: a commit that is repeated, or a second answer
	// to a question that has one (invariant 7).
	for _, row := range rows {
		var kept []byte
		if err := t.QueryRow("SELECT record_sealed FROM steps WHERE run = ? AND key = ?", row[:2], &kept); err != nil {
			return err
		}
		if want, _ := row[len(row)-1].([]byte); !bytes.Equal(kept, want) {
			return schema.Errorf(schema.CodeConflict, "a step of the run is journalled already, with another record")
		}
	}
	return nil
}

// ListSteps lists a run's journal in the order in which the steps started.
func (w *Work) ListSteps(ctx context.Context, run string) ([]Step, error) {
	rows, err := w.s.Query(ctx, `SELECT s.key, s.pointer, s.kind, s.phase, s.state, s.started_at, s.ended_at, s.record_sealed
FROM steps s JOIN runs r ON r.seq = s.run WHERE r.id = ? ORDER BY s.started_at, s.key`, run)
	return collect("list the steps", rows, err, func(row scanner) (Step, error) {
		s := Step{Run: run}
		var started, ended int64
		err := row.Scan(&s.Key, &s.Pointer, &s.Kind, &s.Phase, &s.State, &started, &ended, &s.RecordSealed)
		s.Phase, s.State = orElse(usualPhase, s.Phase), orElse(StepDone, s.State)
		s.Pointer = orElse(s.usualPointer(), s.Pointer)
		s.StartedAt, s.EndedAt, s.RecordSealed = fromMicros(started), fromMicros(ended), some(s.RecordSealed)
		return s, err
	})
}
